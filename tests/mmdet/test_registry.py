from __future__ import annotations

import pytest

from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import ADAPTERS, adapts


def quick_head(node: Node) -> int:
    return node.take("channels")


def test_an_adapter_registers_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTERS, "dense_head", dict(ADAPTERS["dense_head"]))
    assert adapts("dense_head", "QuickHead", "SlowHead")(quick_head) is quick_head
    assert ADAPTERS["dense_head"]["QuickHead"] is ADAPTERS["dense_head"]["SlowHead"] is quick_head


def test_a_type_has_one_adapter() -> None:
    """Where one of several types is taken, none is registered."""
    before = dict(ADAPTERS["dense_head"])
    with pytest.raises(
        ValueError,
        match=r"dense_head 'FCOSHead' has two adapters: detzoo\.\S+fcos_head and \S+quick_head",
    ):
        adapts("dense_head", "QuickHead", "FCOSHead")(quick_head)
    assert ADAPTERS["dense_head"] == before
