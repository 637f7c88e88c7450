"""The benchmarks of a GPU, without one: that they work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_part_works(tmp_path: Path) -> None:
    command = ["sh", ROOT / "benchmarks" / "gpu.sh", "--device", "cpu", "--quick", "--out"]
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "LIMIT": "900"}
    done = subprocess.run([*command, tmp_path], env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("gpu-*.json")}
    assert len(results) == 10
    for result in results.values():
        assert result["rows"]
        assert not any(row.get("outcome") == "failed" for row in result["rows"])
    ways = {row["way"]: row for row in results["gpu-graphs"]["rows"]}
    assert ways.pop("CUDA graph")["reason"] == "RuntimeError: needs a GPU"
    assert all(row["seconds"]["median"] > 0 for row in ways.values())
