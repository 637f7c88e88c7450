"""Every head of the zoo: unusual ground truth, precision, unusual predictions, its classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes, own_modules
from detzoo.detectors.base import PanopticConfig
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.set_prediction import SetPredictionConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.solo import SOLOConfig
from detzoo.detectors.two_stage import TwoStage
from detzoo.heads.heatmap.corner_base import CornerPairHead
from detzoo.heads.roi.mask_scoring import MaskScoringRoIHead
from detzoo.postprocess.matrix_nms import MaskSelect
from detzoo.postprocess.select import Select
from detzoo.structures import BitmapMasks
from detzoo.zoo.entry import Entry
from tests.detectors import zoo_models
from tests.detectors.test_edge_cases import TARGETS, assert_every_parameter_learns
from tests.detectors.waiting import Waiting
from tests.detectors.zoo_models import (
    NUM_CLASSES,
    PARTS,
    build,
    certain,
    images,
    silent,
    with_maps,
)
from tests.meta import on_meta


def params(entries: Iterable[Entry]) -> list[Any]:
    return [pytest.param(entry, id=entry.name) for entry in entries]


def has_threshold(config: Any) -> bool:
    """Whether detections of low scores are dropped; other detectors keep the best, however bad."""
    if isinstance(config, Select | MaskSelect):
        return config.min_score > 0
    parts = (getattr(config, field.name) for field in dataclasses.fields(config))
    return any(dataclasses.is_dataclass(part) and has_threshold(part) for part in parts)


ONE_PER_HEAD = zoo_models.one_per_head()
ENTRIES = params(ONE_PER_HEAD)


def test_no_head_is_left_out() -> None:
    """Every class of a head or neck that can be built is that of an entry, or extended by it."""
    can_be_built = config_classes()
    ours = {n for n, home in own_modules().items() if home.startswith(PARTS) and n in can_be_built}
    there = set(zoo_models.traits(tuple(entry.experiment.model for entry in ONE_PER_HEAD)))
    extended = {base.__name__ for n in there & ours for base in can_be_built[n].__mro__}
    assert ours <= there | extended


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_training(entry: Entry, case: str) -> None:
    model = build(entry)
    assert_every_parameter_learns(model, model(images(), with_maps(TARGETS[case])))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean.isfinite().all()
            assert module.running_var.isfinite().all()


@pytest.mark.parametrize("entry", ENTRIES)
def test_inference(entry: Entry) -> None:
    model = certain(build(entry))
    # Corners are paired by how alike their embeddings are, which no score tells.
    has_pairs = isinstance(getattr(model, "bbox_head", None), CornerPairHead)
    batch = images(3)
    with torch.inference_mode():
        found = model(batch)
    assert len(found) == 3
    for detections, info in zip(found, batch.infos):
        assert has_pairs or len(detections)
        assert (detections.scores.diff() <= 0).all()
        assert ((detections.labels >= 0) & (detections.labels < NUM_CLASSES)).all()
        assert (detections.masks is not None) is model.config.predicts_masks
        original = detections.to_original(info)
        # PAA's votes are averages, and round.
        assert (original.boxes[:, :2] >= -1e-3).all()
        assert (original.boxes[:, 2:] <= torch.tensor([info.size[1], info.size[0]]) + 1e-3).all()
        if model.config.predicts_masks:
            assert isinstance(original.masks, BitmapMasks)
            assert original.masks.bitmaps.shape == (len(detections), *info.original_size)
        if isinstance(entry.experiment.model, SOLOConfig):
            assert torch.equal(original.boxes, original.masks.boxes())
        rates_masks = isinstance(model, TwoStage) and isinstance(model.roi_head, MaskScoringRoIHead)
        assert (detections.mask_scores is not None) is rates_masks


@pytest.mark.parametrize("entry", ENTRIES)
def test_autocast(entry: Entry) -> None:
    """Losses and detections are float32 where the rest runs in bfloat16."""
    model = build(entry)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images(), with_maps(TARGETS["one image without objects"]))
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert_every_parameter_learns(model, losses)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for detections in certain(model)(images()):
            assert detections.boxes.dtype == detections.scores.dtype == torch.float32


# The number of regions, and of masks, is known to the device alone.
WITHOUT_REGIONS = (SingleStageConfig, SetPredictionConfig, ProposalOnlyConfig)


@pytest.mark.parametrize(
    "entry", params(e for e in ONE_PER_HEAD if isinstance(e.experiment.model, WITHOUT_REGIONS))
)
def test_a_training_step_never_waits_for_the_device(entry: Entry) -> None:
    model = build(entry)
    with Waiting() as waiting:
        losses = model(images(), TARGETS["ordinary"])
        losses.total().backward()
    assert waiting.places == []


@pytest.mark.parametrize(
    "entry", params(e for e in ONE_PER_HEAD if has_threshold(e.experiment.model))
)
def test_nothing_detected(entry: Entry) -> None:
    model = silent(build(entry))
    with torch.no_grad():
        for detections in model(images()):
            assert len(detections) == 0
            assert detections.boxes.shape == (0, 4)
            assert detections.scores.shape == detections.labels.shape == (0,)
            assert (detections.masks is not None) is model.config.predicts_masks


@pytest.mark.parametrize("entry", ENTRIES)
def test_rows_of_classes(entry: Entry) -> None:
    """The named parameters, and no others, depend on the number of classes, of things or stuff."""
    config = entry.experiment.model
    stuff = (5, 7) if config.predicts_panoptic else (0, 0)
    with on_meta():
        if isinstance(config, PanopticConfig):
            few, many = config.build(3, stuff[0]), config.build(4, stuff[1])
        else:
            few, many = config.build(3), config.build(4)
    own, other = few.state_dict(), many.state_dict()
    declared = few.class_parameters()
    assert set(declared) == {key for key in own if own[key].shape != other[key].shape}
    counts = {"things": (3, 4), "stuff": stuff, "all": (3 + stuff[0], 4 + stuff[1])}
    for key, rows in declared.items():
        before, after = counts[rows.of]
        assert rows.shape(tuple(own[key].shape), before) == own[key].shape
        assert rows.shape(tuple(own[key].shape), after) == other[key].shape


@pytest.mark.parametrize(
    ("name", "proposals", "maps"),
    [
        ("cascade_rcnn_r50_fpn_1x_coco", False, False),
        ("fast_rcnn_r50_fpn_1x_coco", True, False),
        ("htc_r50_fpn_1x_coco", False, True),
    ],
)
def test_what_is_needed_beside_images(name: str, proposals: bool, maps: bool) -> None:
    config = zoo.find(name).experiment.model
    assert (config.needs_proposals, config.needs_semantic_maps) == (proposals, maps)
