"""A benchmark's result as a file: what was measured, on which machine, and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from detzoo.benchmark.machine import describe_machine

CPU = torch.device("cpu")


def write_result(
    path: Path, what: str, rows: Sequence[Mapping[str, Any]], device: torch.device = CPU
) -> None:
    """What ``benchmarks.page`` reads; ``what`` is one of its sections."""
    content = {"what": what, "machine": describe_machine(device), "rows": rows}
    path.write_text(json.dumps(content, indent=1) + "\n")
