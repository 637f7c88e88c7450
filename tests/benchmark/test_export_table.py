"""The table of families in docs/export.md."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from benchmarks import export
from detzoo.export.formats import FORMATS, Format
from detzoo.export.verify import Difference, Gap
from detzoo.inference.predictor import Predictor
from detzoo.quickstart.scenes import CLASSES
from tests.cli.conftest import FIT
from tests.detectors.zoo_models import build, one_per_head
from tests.tiny import tiny_retinanet


def test_every_head_and_backbone_has_a_row() -> None:
    chosen = list(export.entries())
    assert {entry.name for entry in one_per_head()} < {entry.name for entry in chosen}
    backbones = [export._row(entry)["backbone"] for entry in chosen]
    assert {"SwinTransformer", "ResNeSt", "Darknet"} & set(backbones)
    assert len({entry.name for entry in chosen}) == len(chosen)


def test_scores_that_do_not_tie() -> None:
    """Weights that saturate all scores are scaled down."""
    experiment = tiny_retinanet(CLASSES, FIT)
    torch.manual_seed(0)
    model = experiment.build_model()
    head = model.get_submodule("bbox_head.retina_cls")
    torch.nn.init.normal_(head.get_parameter("weight"), std=1000.0)
    torch.nn.init.zeros_(head.get_parameter("bias"))
    predictor = Predictor(experiment, model, fused=False)
    picture = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)

    def ties() -> int:
        (found,) = predictor.predict(picture, min_score=0.0)
        assert len(found) > 50
        return int((found.scores.sort().values.diff() < 1e-5).sum())

    assert ties() > 50
    export.calm(predictor, [picture])
    assert ties() < 5


def test_norms_know_the_pictures() -> None:
    experiment = tiny_retinanet(CLASSES, FIT)
    torch.manual_seed(0)
    model = experiment.build_model()
    pictures = [np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8) for k in (0, 1)]
    predictor = Predictor(experiment, model, fused=False)
    export.settle(predictor, pictures)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    given = []
    norms[-1].register_forward_hook(lambda _, inputs, output: given.append(output))
    assert not any(norm.training for norm in norms)
    list(predictor.predict(pictures, batch_size=2))
    (output,) = given
    torch.testing.assert_close(output.mean((0, 2, 3)), norms[-1].bias, atol=0.3, rtol=0)


def test_pictures_in_which_rounding_decides_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [np.full((8, 8, 3), value, np.uint8) for value in range(export.SCENES)]
    stable: set[int] = set()

    def compare(_: object, __: object, pictures: Sequence[np.ndarray], ___: float) -> Difference:
        gap = Gap(float(int(pictures[0][0, 0, 0]) not in stable), 0.0, 1.0)
        return Difference(1, 2, 0, gap.score, 0.0, gaps=(gap,))

    monkeypatch.setattr(export, "compare", compare)
    monkeypatch.setattr(export, "min_score_of", lambda *_: 0.0)
    entry = next(export.entries())
    predictor = Predictor(entry.experiment, build(entry), fused=False)
    # The first of them; where there are too few, the first of all.
    for numbers, wanted in (({2, 5, 6}, [2, 5]), ({6}, [0, 1])):
        stable.clear()
        stable |= numbers
        assert [int(one[0, 0, 0]) for one in export.decided(predictor, scenes)] == wanted


def test_the_rest_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that ends its process costs no other one its result."""

    def measure(_: object, kinds: Sequence[Format]) -> Iterator[tuple[str, export.Cell]]:
        for kind in kinds:
            if kind.name == "onnx":
                os._exit(3)
            if kind.name == "torch":
                time.sleep(60)
            yield kind.name, {"ms": 1.0}

    monkeypatch.setattr(export, "measure", measure)
    found = dict(export.measure_apart(next(export.entries()), FORMATS, limit=2))
    assert found["onnx"] == {"reason": "the process ended with exit code 3"}
    assert found["torch"] == {"reason": "not done after 2 seconds"}
    assert found["openvino"] == found["aoti"] == {"ms": 1.0}


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
