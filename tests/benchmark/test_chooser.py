"""The measurement of the models to choose from: what is measured, and what is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import chooser
from benchmarks.chooser import CHOICE, selecting_head, set_min_score
from benchmarks.side_by_side.task import randomize
from detzoo import zoo
from detzoo.data.transforms import Resize
from detzoo.inference.predictor import Predictor
from tests.tiny import tiny_mask_rcnn

# They take all of their queries, or so many of the best.
WITHOUT_MIN_SCORE = {
    "detr_r50_8x2_150e_coco",
    "deformable_detr_twostage_refine_r50_16x2_50e_coco",
    "sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
    "queryinst_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
}


def test_as_many_objects_as_a_trained_model_finds() -> None:
    experiment = tiny_mask_rcnn(transforms=(Resize(sizes=((256, 256),)),))
    torch.manual_seed(0)
    model = experiment.build_model().eval()
    randomize(model)
    set_min_score(experiment, model)
    image = np.random.default_rng(5).integers(0, 256, (480, 640, 3), np.uint8)
    (found,) = Predictor(experiment, model)(image, min_score=0.0)
    assert 50 <= len(found) <= 100
    head = selecting_head(model)
    # Few more boxes than those are candidates, as of a trained model.
    assert head.config.select.min_score > 0.05


def test_models_that_are_there_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def measure(name: str, images: int) -> list[dict[str, object]]:
        measured.append((name, images))
        return [{"model": name, "precision": "fp32", "seconds": {"median": 0.5}, "objects": 99}]

    monkeypatch.setattr(chooser, "measure", measure)
    file = tmp_path / "chooser.json"
    for names in (["a"], ["a", "b"]):
        arguments = ["chooser", "--models", *names, "--images", "3", "--json", str(file)]
        monkeypatch.setattr(sys, "argv", arguments)
        chooser.main()
    assert measured == [("a", 3), ("b", 3)]
    content = json.loads(file.read_text())
    assert [row["model"] for row in content["rows"]] == ["a", "b"]
    content["machine"]["torch"] = "1.0"
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="was measured with another torch"):
        chooser.main()


@pytest.mark.slow
def test_every_model_has_a_minimum_score_or_none() -> None:
    names = [name for group in CHOICE.values() for name in group]
    with torch.device("meta"):
        heads = {name: selecting_head(zoo.find(name).experiment.build_model()) for name in names}
    assert {name for name, head in heads.items() if head is None} == WITHOUT_MIN_SCORE
