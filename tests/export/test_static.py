"""The static form detects what the detector does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detzoo import zoo
from detzoo.detectors.base import Detector
from detzoo.detectors.solo import SOLOConfig
from detzoo.detectors.yolact import YOLACTConfig
from detzoo.errors import ConfigError
from detzoo.export.static import StaticDetector
from detzoo.structures import ImageBatch, RoIMasks
from detzoo.zoo.entry import Entry
from tests.detectors.zoo_models import build, certain, images, one_per_head

ENTRIES = [
    pytest.param(entry, id=entry.name)
    for entry in one_per_head()
    # Regions from outside, and masks of the whole image.
    if not entry.experiment.model.needs_proposals
    and not isinstance(entry.experiment.model, SOLOConfig | YOLACTConfig)
]


def distinct(model: Detector) -> Detector:
    """With scores that differ from each other: which of equal ones comes first, nothing says."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in model.class_parameters() and parameter.ndim > 1:
                parameter.mul_(0.05)
    return model


def order(boxes: Tensor, scores: Tensor) -> Tensor:
    """By falling score; equal ones by their left and top."""
    return torch.from_numpy(np.lexsort((boxes[:, 1], boxes[:, 0], -scores)))


def sizes_of(batch: ImageBatch) -> Tensor:
    return torch.tensor([info.size for info in batch.infos])


@pytest.mark.parametrize("entry", ENTRIES)
def test_same_detections(entry: Entry) -> None:
    model, batch = distinct(certain(build(entry))), images(2)
    with torch.no_grad():
        expected = model(batch)
        found = StaticDetector(model, max_candidates=20_000)(batch.pixels, sizes_of(batch))
    assert found.num.tolist() == [len(image) for image in expected]
    for number, image in enumerate(expected):
        count = len(image)
        boxes, scores = found.boxes[number], found.scores[number]
        ours, theirs = order(boxes[:count], scores[:count]), order(image.boxes, image.scores)
        torch.testing.assert_close(scores[ours], image.scores[theirs])
        torch.testing.assert_close(boxes[ours], image.boxes[theirs], rtol=0, atol=1e-3)
        assert torch.equal(found.labels[number, ours], image.labels[theirs])
        assert not scores[count:].any()
        assert not boxes[count:].any()
        if image.masks is not None:
            assert isinstance(image.masks, RoIMasks)
            assert found.masks is not None
            probabilities = image.masks.probabilities[theirs]
            torch.testing.assert_close(found.masks[number, ours], probabilities, rtol=0, atol=1e-4)


def test_nothing_found() -> None:
    """All of it is padding."""
    (entry,) = (e for e in one_per_head() if e.name == "mask_rcnn_mobilenetv2_fpn")
    model = certain(build(entry))
    torch.nn.init.zeros_(model.roi_head.bbox_head.fc_cls.weight)
    model.roi_head.bbox_head.fc_cls.bias.data[-1] = 20.0
    batch = images(2)
    with torch.no_grad():
        found: Any = StaticDetector(model)(batch.pixels, sizes_of(batch))
    assert found.num.tolist() == [0, 0]
    assert not any(values.any() for values in found)


def test_the_best_candidates_are_taken() -> None:
    """Of more than fit, those with the highest scores; the detector itself stays as it is."""
    (entry,) = (e for e in one_per_head() if e.name == "retinanet_mobilenetv2_fpn")
    model, batch = distinct(certain(build(entry))), images(1)
    with torch.no_grad():
        before = model(batch)
        found = StaticDetector(model, max_candidates=5)(batch.pixels, sizes_of(batch))
        assert torch.equal(model(batch)[0].boxes, before[0].boxes)
    assert 0 < int(found.num[0]) <= len(before[0])
    torch.testing.assert_close(found.boxes[0, 0], before[0].boxes[0])


@pytest.mark.parametrize(
    ("name", "reason"),
    [("solo_r50_fpn_1x_coco", "cover the whole image"), ("fast_rcnn_r50_fpn_1x_coco", "proposals")],
)
def test_what_has_no_static_form(name: str, reason: str) -> None:
    with torch.device("meta"):
        model = zoo.find(name).experiment.build_model()
    with pytest.raises(ConfigError, match=reason):
        StaticDetector(model)
