"""Options about data beside images: proposals, semantic maps, splits, views."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detzoo.config import to_dict
from detzoo.data.transforms import Pad, Resize, ShrinkSemanticMap
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.cascade import CascadeStage
from detzoo.heads.roi.htc import HTCRoIHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.schedules import Schedule
from detzoo.quickstart.scenes import CLASSES
from tests.cli.conftest import FIT, Run, assert_refused, write_checkpoint
from tests.data.files import voc_object, write_voc
from tests.tiny import BACKBONE, tiny_mask_rcnn, tiny_retinanet

FAST = ("--workers", 0, "--device", "cpu")


def once(experiment: Experiment) -> Experiment:
    """Two steps and no more."""
    data = replace(experiment.data, images_per_device=4)
    return replace(experiment, data=data, schedule=Schedule(length=1, warmup=None))


@pytest.fixture
def rpn(tmp_path: Path) -> Path:
    model = ProposalOnlyConfig(
        backbone=BACKBONE, neck=FPNConfig(out_channels=8), rpn_head=RPNHeadConfig()
    )
    return write_checkpoint(tmp_path / "rpn.pt", replace(tiny_mask_rcnn(CLASSES, FIT), model=model))


@pytest.fixture
def fast_rcnn(tmp_path: Path) -> Path:
    whole = tiny_mask_rcnn(CLASSES, FIT)
    assert isinstance(whole.model, TwoStageConfig)
    experiment = once(replace(whole, model=replace(whole.model, rpn_head=None)))
    path = tmp_path / "fast.json"
    path.write_text(json.dumps(to_dict(experiment)))
    return path


def test_proposals_from_one_model_to_another(
    detzoo: Run, rpn: Path, fast_rcnn: Path, scenes: Path
) -> None:
    for split in ("train", "val"):
        outcome = detzoo(
            "test", rpn, "--data", scenes, "--split", split, *FAST,
            "--save-proposals", f"{split}.json",
        )  # fmt: skip
        assert outcome.code == 0, outcome
    outcome = detzoo(
        "train", fast_rcnn, "--data", scenes, *FAST, "--from-scratch", "--out", "run",
        "--proposals", "train.json", "--val-proposals", "val.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    outcome = detzoo("test", "run/best.pt", "--data", scenes, *FAST, "--proposals", "val.json")
    assert outcome.code == 0, outcome
    assert "bbox" in outcome.out
    two = ("--tta-flip", "--tta-scales", "64x64,96x96")
    outcome = detzoo(
        "test", "run/best.pt", "--data", scenes, *FAST, "--proposals", "val.json", *two
    )
    assert outcome.code == 0, outcome


def test_proposals_that_are_missing(
    detzoo: Run, rpn: Path, fast_rcnn: Path, scenes: Path, retinanet: Path
) -> None:
    train = ("train", fast_rcnn, "--data", scenes, *FAST, "--from-scratch", "--out", "run")
    assert_refused(detzoo(*train), "train.json", "has no proposals", "--proposals FILE")
    detzoo("test", rpn, "--data", scenes, *FAST, "--save-proposals", "val.json")
    assert_refused(detzoo(*train, "--proposals", "val.json"), "val.json", "has no proposals for")
    detzoo(
        "test", rpn, "--data", scenes, "--split", "train", *FAST, "--save-proposals", "train.json"
    )
    # Validation needs its own.
    outcome = detzoo(*train, "--proposals", "train.json")
    assert_refused(outcome, "val.json", "has no proposals")
    outcome = detzoo("test", retinanet, "--data", scenes, *FAST, "--save-proposals", "x.json")
    assert_refused(outcome, "--save-proposals x.json", "detects objects instead of")


def test_predicting_without_proposals(detzoo: Run, tmp_path: Path, scenes: Path) -> None:
    whole = tiny_mask_rcnn(CLASSES, FIT)
    assert isinstance(whole.model, TwoStageConfig)
    fast = replace(whole, model=replace(whole.model, rpn_head=None))
    file = write_checkpoint(tmp_path / "fast.pt", fast)
    outcome = detzoo("predict", file, scenes / "val", "--out", "pictures", "--device", "cpu")
    assert_refused(outcome, "only classifies given regions")


@pytest.fixture
def htc(tmp_path: Path) -> Path:
    model = TwoStageConfig(
        backbone=BACKBONE,
        neck=FPNConfig(out_channels=8),
        rpn_head=RPNHeadConfig(),
        roi_head=HTCRoIHeadConfig(
            stages=(CascadeStage(box_head=BoxHeadConfig(fc_channels=16)),) * 2,
            mask_head=MaskHeadConfig(num_convs=1, channels=8),
            semantic_head=SemanticHeadConfig(num_convs=1, channels=8),
        ),
    )
    fit = (Resize(sizes=((64, 64),)), Pad(divisor=32), ShrinkSemanticMap())
    experiment = once(replace(tiny_mask_rcnn(CLASSES, fit), model=model))
    path = tmp_path / "htc.json"
    path.write_text(json.dumps(to_dict(experiment)))
    return path


def test_semantic_maps(detzoo: Run, htc: Path, scenes: Path, tmp_path: Path) -> None:
    train = ("train", htc, "--data", scenes, *FAST, "--from-scratch", "--out", "run")
    assert_refused(detzoo(*train), "has no semantic maps", "--semantic-maps DIR")
    folder = tmp_path / "maps"
    folder.mkdir()
    assert_refused(detzoo(*train, "--semantic-maps", folder), "maps", "no such file")
    for image in (scenes / "train").iterdir():
        classes = np.random.default_rng(0).integers(0, 183, (64, 64)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{image.stem}.png"), classes)
    outcome = detzoo(*train, "--semantic-maps", folder)
    assert outcome.code == 0, outcome
    records = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    losses = [record["loss_semantic_seg"] for record in records if record["kind"] == "train"]
    assert losses
    assert all(0 < loss < 10 for loss in losses)
    # Detecting needs none.
    assert detzoo("test", "run/best.pt", "--data", scenes, *FAST).code == 0


def test_views(detzoo: Run, mask_rcnn: Path, retinanet: Path, scenes: Path) -> None:
    for model in (mask_rcnn, retinanet):
        outcome = detzoo(
            "test", model, "--data", scenes, *FAST, "--tta-scales", "64x64,96x80", "--tta-flip"
        )
        assert outcome.code == 0, outcome
        outcome = detzoo(
            "predict", model, scenes / "val", "--device", "cpu", "--tta-flip", "--min-score", 0,
            "--json", "found.json", "--out", "pictures", "--batch-size", 2,
        )  # fmt: skip
        assert outcome.code == 0, outcome
        assert len(json.loads(Path("found.json").read_text())) == 4
    bad = detzoo("test", retinanet, "--data", scenes, *FAST, "--tta-scales", "64,96")
    assert_refused(bad, "--tta-scales 64,96", "WIDTHxHEIGHT")


def test_voc_of_two_years(detzoo: Run, tmp_path: Path) -> None:
    cat = voc_object("cat", (5, 5, 30, 30))
    for year, name in ((2007, "000001"), (2012, "2008_1")):
        splits = {"trainval": [name], "test": ["t"]} if year == 2007 else {"trainval": [name]}
        names = [name, "t"] if year == 2007 else [name]
        write_voc(tmp_path / "VOCdevkit" / f"VOC{year}", dict.fromkeys(names, cat), splits)
    experiment = once(tiny_retinanet(transforms=FIT))
    data = replace(experiment.data, images_per_device=2, metric="voc07")
    Path("tiny.json").write_text(json.dumps(to_dict(replace(experiment, data=data))))
    outcome = detzoo(
        "train", "tiny.json", "--data", tmp_path / "VOCdevkit", "--split", "trainval", *FAST,
        "--from-scratch", "--out", "run",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert "2 images, 2 objects" in outcome.out
    assert "test.txt" in outcome.out  # not val, which is part of trainval
    assert "voc/AP50" in outcome.out
    outcome = detzoo("test", "run/best.pt", "--data", tmp_path, "--split", "test", *FAST)
    assert outcome.code == 0, outcome
    assert "AP50" in outcome.out
    assert "AR100" not in outcome.out
