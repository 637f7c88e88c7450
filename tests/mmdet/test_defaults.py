"""V2's own defaults, against the signatures of its constructors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from detzoo import zoo
from detzoo.mmdet import import_file
from detzoo.mmdet.defaults import DEFAULTS
from detzoo.mmdet.node import Node
from tests.mmdet.published import published_configs
from tests.mmdet.signatures import REQUIRED, defaults

# What V2's constructors and losses set by themselves, whatever the signature says.
ALWAYS = {
    ("ResNeSt", "deep_stem"): True,
    ("ResNeSt", "avg_down"): True,
    ("DDODHead", "reg_decoded_bbox"): True,
    ("DoubleConvFCBBoxHead", "with_avg_pool"): True,
}
NAMES = {"1.0 / 9.0": 1.0 / 9.0, "INF": 1e8}


def evaluated(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: evaluated(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(evaluated(item) for item in value)
    return NAMES.get(value, value) if isinstance(value, str) else value


def test_parts_that_a_configuration_leaves_out() -> None:
    signatures = defaults()
    for name, parts in DEFAULTS.items():
        for key, part in parts.items():
            assert part == evaluated(signatures[name][key]), (name, key)


def test_plain_values_that_a_configuration_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that adapters assume while they read one file per family."""
    signatures = defaults()
    assumed: dict[tuple[str, str], set[Any]] = {}
    take = Node.take

    def watched(self: Node, key: str, *default: Any) -> Any:
        if key not in self.left and default and self._type in signatures:
            assumed.setdefault((self._type, key), set()).add(default[0])
        return take(self, key, *default)

    monkeypatch.setattr(Node, "take", watched)
    for family in zoo.families():
        path = published_configs() / family.folder / f"{family.entries[0].name}.py"
        if path.is_file():
            import_file(path)
    wrong = []
    for (name, key), values in assumed.items():
        true = ALWAYS.get((name, key), evaluated(signatures[name].get(key, REQUIRED)))
        if true != REQUIRED and any(value is not None and value != true for value in values):
            wrong.append((name, key, values, true))
    assert wrong == []
    assert len(assumed) > 200
