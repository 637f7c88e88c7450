"""The text of a V2 configuration inside a checkpoint, read as data.

MMDetection saved either the merged configuration, printed as assignments, or (in its first
versions) the files themselves one after another, each below a line with its path.
"""

from __future__ import annotations

import math
import re
from typing import Any

from detzoo.mmdet.read_config import merge_settings
from detzoo.mmdet.safe_python import Budget, SafePython

_PATH_LINE = re.compile(r"^[^\s'\"#=(),\[\]{}]+\.py[ \t]*$", re.MULTILINE)
_REMEDY = "Give the model's name or its config file instead, and this file as --weights."
# As Python prints these numbers.
_CONSTANTS = {"inf": math.inf, "nan": math.nan}


def parse_config(text: str, source: str) -> dict[str, Any]:
    """The configuration that ``text`` writes, without executing it.

    Raises :class:`ConfigError`, naming ``source`` and the line.
    """
    place = f"{source}: the configuration inside"
    starts = [0, *(match.end() for match in _PATH_LINE.finditer(text))]
    ends = [*(match.start() for match in _PATH_LINE.finditer(text)), len(text)]
    config: dict[str, Any] = {}
    budget = Budget()
    for start, end in zip(starts, ends):
        reader = SafePython(place, _REMEDY, budget, constants=_CONSTANTS)
        own = reader.run(text[start:end], text.count("\n", 0, start))
        # Bases come before the files that change them.
        config = merge_settings(config, own, source)
    config.pop("_base_", None)
    return config
