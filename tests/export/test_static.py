"""The static form detects what the detector does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detzoo import zoo
from detzoo.detectors.base import Detector
from detzoo.errors import ConfigError
from detzoo.export.static import StaticDetections, StaticDetector, require_static_form
from detzoo.structures import ImageBatch, ImageMasks, PanopticPrediction, RoIMasks
from detzoo.zoo.entry import Entry
from tests.detectors.zoo_models import build, certain, images, one_per_head

ENTRIES = [
    pytest.param(entry, id=entry.name)
    for entry in one_per_head()
    if not entry.experiment.model.needs_proposals
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
            assert isinstance(image.masks, RoIMasks | ImageMasks)
            assert found.masks is not None
            probabilities = image.masks.probabilities[theirs]
            torch.testing.assert_close(found.masks[number, ours], probabilities, rtol=0, atol=1e-4)
        if image.panoptic is not None:
            assert isinstance(image.panoptic, PanopticPrediction)
            for ours, theirs in zip(segments_of(found, number), image.panoptic.tensors):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def segments_of(found: StaticDetections, number: int) -> list[Tensor]:
    """The segments of an image, with what belongs to each."""
    tensors = (found.segments, found.segment_scores, found.segment_labels)
    return [values[number] for values in tensors if values is not None]


def test_nothing_found() -> None:
    """All of it is padding."""
    model = certain(build(entry_of("mask_rcnn_mobilenetv2_fpn")))
    torch.nn.init.zeros_(model.roi_head.bbox_head.fc_cls.weight)
    model.roi_head.bbox_head.fc_cls.bias.data[-1] = 20.0
    batch = images(2)
    with torch.no_grad():
        found: Any = StaticDetector(model)(batch.pixels, sizes_of(batch))
    assert found.num.tolist() == [0, 0]
    assert not any(values.any() for values in found if values is not None)


def entry_of(name: str) -> Entry:
    (entry,) = (e for e in one_per_head() if e.name == name)
    return entry


REGIONS, CELLS = "mask_rcnn_mobilenetv2_fpn", "solov2_light_r18_fpn_3x_coco"
# Those where the number of candidates is not limited by the recipe.
UNLIMITED = ("paa_r50_fpn_1.5x_coco", REGIONS, CELLS)


@pytest.mark.parametrize("name", [REGIONS, CELLS])
def test_the_best_candidates_are_taken(name: str) -> None:
    """Of more than fit, those with the highest scores; the detector itself stays as it is."""
    model, batch = distinct(certain(build(entry_of(name)))), images(1)
    with torch.no_grad():
        before = model(batch)
        found = StaticDetector(model, max_candidates=5)(batch.pixels, sizes_of(batch))
        assert torch.equal(model(batch)[0].boxes, before[0].boxes)
    assert 0 < int(found.num[0]) < len(before[0])
    torch.testing.assert_close(found.boxes[0, 0], before[0].boxes[0])


@pytest.mark.parametrize("name", UNLIMITED)
def test_what_does_not_fit_is_counted(name: str) -> None:
    model, batch = certain(build(entry_of(name))), images(2)
    sizes = sizes_of(batch)
    with torch.no_grad():
        roomy = StaticDetector(model, max_candidates=50_000)(batch.pixels, sizes)
        narrow = StaticDetector(model, max_candidates=5)
        together = narrow(batch.pixels, sizes).left_out.tolist()
        alone = [narrow(batch.pixels[i : i + 1], sizes[i : i + 1]).left_out for i in range(2)]
    assert roomy.left_out.tolist() == [0, 0]
    assert together == torch.cat(alone).tolist()
    assert min(together) > 0
    assert together[0] != together[1]


def test_what_the_recipe_limits_is_not_left_out() -> None:
    model, batch = certain(build(entry_of("retinanet_mobilenetv2_fpn"))), images(2)
    with torch.no_grad():
        found = StaticDetector(model, max_candidates=1)(batch.pixels, sizes_of(batch))
    assert found.left_out.tolist() == [0, 0]


@pytest.mark.parametrize("name", [REGIONS, CELLS, "yolact_r50_1x8_coco"])
def test_masks_of_the_size_of_the_input(name: str) -> None:
    model, batch = distinct(certain(build(entry_of(name)))), images(2)
    size = (batch.pixels.shape[2], batch.pixels.shape[3])
    with torch.no_grad():
        expected = model(batch)
        found = StaticDetector(model, 20_000, masks="full")(batch.pixels, sizes_of(batch))
    assert found.masks is not None
    assert found.masks.shape[2:] == size
    for number, image in enumerate(expected):
        count = int(found.num[number])
        assert count > 0
        ours = order(found.boxes[number, :count], found.scores[number, :count])
        theirs = order(image.boxes, image.scores)
        masks = image[theirs].masks
        if isinstance(masks, RoIMasks):
            drawn = masks.paste(image.boxes[theirs], size).bitmaps
        else:
            assert isinstance(masks, ImageMasks)
            drawn = masks.at_input(size).bitmaps
        assert drawn.any()
        assert (found.masks[number, ours] != drawn).float().mean() < 1e-4  # at the threshold
        assert not found.masks[number, count:].any()


def test_what_has_no_static_form() -> None:
    with pytest.raises(ConfigError, match="is given its proposals"):
        require_static_form(zoo.find("fast_rcnn_r50_fpn_1x_coco").experiment.model)
