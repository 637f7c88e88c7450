"""Each kind of head learns two pictures by heart."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torchvision.ops import nms

from detzoo.detectors.base import Detector
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import BitmapMasks, Detections, ImageBatch, ImageInfo, Losses, Targets
from tests.detectors import models
from tests.marks import ON_CI

SIZE = (64, 64)
COLORS = torch.tensor([[2.0, -1.0, -1.0], [-1.0, 2.0, -1.0], [-1.0, -1.0, 2.0]])
HEAD = BoxHeadConfig(fc_channels=256)
CONFIGS = {
    "retinanet": models.retinanet(channels=32),
    "rpn": models.rpn(),
    "faster_rcnn": models.faster_rcnn(HEAD),
    "mask_rcnn": models.mask_rcnn(HEAD),
}
OBJECTS = (
    [((4, 6, 34, 26), 0), ((32, 30, 60, 62), 1)],
    [((12, 16, 50, 60), 2)],
)


def scenes() -> tuple[ImageBatch, list[Targets]]:
    """Gray pictures with ellipses, whose color is their class."""
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    pixels, targets = torch.zeros(2, 3, *SIZE), []
    for picture, objects in zip(pixels, OBJECTS):
        masks = []
        for (x1, y1, x2, y2), label in objects:
            across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
            inside = across.square() + down.square() <= 1
            picture[:, inside] = COLORS[label][:, None]
            masks.append(inside)
        boxes = torch.tensor([box for box, _ in objects], dtype=torch.float32)
        labels = torch.tensor([label for _, label in objects])
        targets.append(Targets.of(boxes, labels, BitmapMasks(torch.stack(masks).byte())))
    return ImageBatch(pixels, (ImageInfo.of(SIZE), ImageInfo.of(SIZE))), targets


def learn(name: str, steps: int = 130) -> tuple[Detector, dict[str, float]]:
    """The trained detector, and its last losses."""
    torch.manual_seed(0)
    backbone = dataclasses.replace(models.BACKBONE, base_channels=16, frozen_stages=-1)
    neck = dataclasses.replace(CONFIGS[name].neck, out_channels=64)
    config = dataclasses.replace(CONFIGS[name], backbone=backbone, neck=neck)
    model = config.build(models.CLASSES).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, targets = scenes()
    losses = Losses()
    for _ in range(steps):
        losses = model(images, targets)
        optimizer.zero_grad()
        losses.total().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    return model.eval(), {key: value.item() for key, value in losses.items()}


def detect(model: Detector) -> list[Detections]:
    with torch.no_grad():
        return model(scenes()[0])


@pytest.mark.parametrize(
    "name", ["retinanet", "mask_rcnn", pytest.param("faster_rcnn", marks=ON_CI)]
)
def test_detector(name: str) -> None:
    model, losses = learn(name)
    images, targets = scenes()
    for found, target, info in zip(detect(model), targets, images.infos):
        best = found[: len(target)]
        best = best[best.labels.argsort()]
        assert best.labels.tolist() == target.labels.tolist()
        assert (best.scores > 0.7).all()
        assert (pairwise_iou(best.boxes, target.boxes).diag() > 0.8).all()
        if name == "mask_rcnn":
            assert_masks_match(best.to_original(info).masks, target)
    assert max(losses.values()) < 0.2


def assert_masks_match(masks: object, targets: Targets) -> None:
    assert isinstance(masks, BitmapMasks)
    assert isinstance(targets.masks, BitmapMasks)
    found, wanted = masks.bitmaps.bool(), targets.masks.bitmaps.bool()
    common, union = (found & wanted).sum((1, 2)), (found | wanted).sum((1, 2))
    assert (common / union > 0.8).all()


def test_proposals() -> None:
    model, losses = learn("rpn")
    for found, target in zip(detect(model), scenes()[1]):
        # Proposals of one object may overlap by up to 0.7, which is also what an RPN takes for the
        # object: of each, one is enough.
        best = found[nms(found.boxes, found.scores, 0.5)][: len(target)]
        assert (best.scores > 0.7).all()
        assert (pairwise_iou(best.boxes, target.boxes).amax(0) > 0.7).all()
    assert max(losses.values()) < 0.1
