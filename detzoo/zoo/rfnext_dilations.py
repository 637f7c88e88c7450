"""The dilations that the authors of RF-Next found, which MMDetection has beside its configurations
of it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

_FILE = Path(__file__).with_suffix(".json")


def published_dilations(file: str) -> tuple[tuple[str, int], ...] | None:
    """The dilation of each convolution in this file of MMDetection's ``configs/rfnext/search_log``;
    None if there is none of this name."""
    return _all().get(file)


@functools.cache
def _all() -> dict[str, tuple[tuple[str, int], ...]]:
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    return {name: tuple(dilations.items()) for name, dilations in content.items()}
