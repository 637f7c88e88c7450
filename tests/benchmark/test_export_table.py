"""The table of families in docs/export.md."""

from __future__ import annotations

from benchmarks import export
from detzoo.export.formats import FORMATS
from tests.detectors.zoo_models import one_per_head


def test_every_head_and_backbone_has_a_row() -> None:
    chosen = list(export.entries())
    assert {entry.name for entry in one_per_head()} < {entry.name for entry in chosen}
    backbones = [export._row(entry)["backbone"] for entry in chosen]
    assert {"SwinTransformer", "ResNeSt", "Darknet"} & set(backbones)
    assert len({entry.name for entry in chosen}) == len(chosen)


def test_cells() -> None:
    """Times and sizes, what differs, why not, and what nobody has run yet."""
    measured = {"ms": 12.4, "bytes": 3_400_000, "verified": True, "near": 1.0}
    row = {
        "name": "some",
        "head": "Retina",
        "backbone": "ResNet",
        "results": {
            "eager": {"ms": 20.0},
            "onnx": measured,
            "openvino": measured | {"verified": False, "near": 0.97},
            "torch": {"reason": "it cannot"},
        },
    }
    full = export._cell(measured | {"verified": False, "left_out": 2}, [])
    assert full == "12 ms, 3.4 MB, more candidates than fit"
    other = {**row, "name": "other", "results": {"torch": {"reason": "it cannot"}}}
    text = export.table([row, other])
    assert (
        "| `some` | Retina | ResNet | 20 ms | 12 ms, 3.4 MB | 12 ms, 3.4 MB, 97% alike | no (1) | "
        "not run |" in text
    )
    assert "| `other` | Retina | ResNet |  | not run | not run | no (1) | not run |" in text
    assert text.endswith("\n1. it cannot\n")
    assert len(FORMATS) == 4


def test_the_page_has_a_place_for_it() -> None:
    text = export.PAGE.read_text()
    assert text.count(export.START) == 1
    assert export.END in text[text.index(export.START) :]
