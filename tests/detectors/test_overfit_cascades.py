"""Heads in stages, and those that change as they learn, learn two pictures by heart."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.detectors.base import DetectorConfig
from detzoo.heads.base import RoIHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.cascade import CascadeRoIHeadConfig, CascadeStage
from detzoo.heads.roi.dynamic import DynamicRoIHead, DynamicRoIHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.htc import HTCRoIHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.losses.seesaw import SeesawLossConfig
from detzoo.ops.boxes import pairwise_iou
from detzoo.postprocess.select import Select
from detzoo.samplers.random import RandomSampler
from detzoo.structures import BitmapMasks, Losses, Targets
from detzoo.zoo.cascade_rcnn import cascade_stages
from tests.detectors import models
from tests.detectors.test_overfit import assert_masks_match, scenes
from tests.marks import ON_CI

BOX_HEAD = BoxHeadConfig(fc_channels=128, class_agnostic_boxes=True, box_loss=SmoothL1Loss())
SEESAW = dataclasses.replace(
    BOX_HEAD, classification_loss=SeesawLossConfig(), normalized_classifier=True
)
MASKS = MaskHeadConfig(num_convs=1, channels=16)
SELECT = Select(min_score=0.05)


def stages(box_head: BoxHeadConfig) -> tuple[CascadeStage, ...]:
    sampler = RandomSampler(num=32, positive_fraction=0.25, adds_targets=True)
    return tuple(
        dataclasses.replace(stage, sampler=sampler) for stage in cascade_stages(box_head)[:2]
    )


HEADS: dict[str, RoIHeadConfig] = {
    "seesaw cascade": CascadeRoIHeadConfig(
        stages=stages(SEESAW),
        mask_extractor=PyramidRoIAlignConfig(output_size=7),
        mask_head=MASKS,
        select=SELECT,
    ),
    "htc": HTCRoIHeadConfig(
        stages=stages(BOX_HEAD),
        mask_extractor=PyramidRoIAlignConfig(output_size=7),
        semantic_extractor=PyramidRoIAlignConfig(output_size=7, num_levels=1),
        mask_head=MASKS,
        semantic_head=SemanticHeadConfig(num_classes=4, num_convs=1, channels=64),
        select=SELECT,
    ),
    "dynamic": DynamicRoIHeadConfig(
        box_head=BoxHeadConfig(fc_channels=128, box_loss=SmoothL1Loss()),
        sampler=RandomSampler(num=32, positive_fraction=0.25, adds_targets=True),
        update_interval=20,
        iou_rank=10,
        error_rank=2,
        select=SELECT,
    ),
}


def with_map(target: Targets) -> Targets:
    """With what every eighth pixel shows; the class after those of the objects is background."""
    assert isinstance(target.masks, BitmapMasks)
    classes = torch.full((8, 8), models.CLASSES, dtype=torch.uint8)
    for mask, label in zip(target.masks.bitmaps[:, 4::8, 4::8].bool(), target.labels):
        classes[mask] = label.to(torch.uint8)
    return dataclasses.replace(target, semantic_map=classes)


def detector(name: str) -> DetectorConfig:
    return dataclasses.replace(
        models.faster_rcnn(),
        backbone=dataclasses.replace(models.BACKBONE, base_channels=16, frozen_stages=-1),
        neck=dataclasses.replace(models.NECK, out_channels=64),
        roi_head=HEADS[name],
    )


# HTC learns with a cascade's stages, too.
LONG = ("htc", "seesaw cascade")
NAMES = [pytest.param(name, marks=ON_CI if name in LONG else ()) for name in HEADS]


@pytest.mark.parametrize("name", NAMES)
def test_detector(name: str) -> None:
    torch.manual_seed(0)
    model = detector(name).build(models.CLASSES).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    steps = 130
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, targets = scenes()
    targets = [with_map(target) for target in targets]
    losses = Losses()
    for _ in range(steps):
        losses = model(images, targets)
        optimizer.zero_grad()
        losses.total().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        detections = model.eval()(images)
    for found, target, info in zip(detections, targets, images.infos):
        best = found[: len(target)]
        best = best[best.labels.argsort()]
        assert best.labels.tolist() == target.labels.tolist()
        assert (best.scores > 0.7).all()
        assert (pairwise_iou(best.boxes, target.boxes).diag() > 0.8).all()
        if best.masks is not None:
            assert_masks_match(best.to_original(info).masks, target)
    if name == "htc":
        assert losses["loss_semantic_seg"] < 0.05
    if name == "dynamic":
        head = model.roi_head
        assert isinstance(head, DynamicRoIHead)
        # Better proposals and smaller errors ask for more.
        assert head.min_positive_iou > 0.5
        assert head.beta < 1.0
