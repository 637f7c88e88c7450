"""Heads without priors learn two pictures by heart."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.detectors.set_prediction import SetPredictionConfig
from detzoo.detectors.solo import SOLOConfig
from detzoo.detectors.sparse import SparseConfig
from detzoo.heads.mask_grid.solo import SOLOHeadConfig
from detzoo.heads.query.detr import DETRHeadConfig, TransformerConfig
from detzoo.heads.query.dynamic import DynamicMaskHeadConfig, InteractionHeadConfig
from detzoo.heads.query.learned_proposals import LearnedProposalsConfig
from detzoo.heads.query.sparse_roi import SparseRoIHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import Losses
from tests.detectors import models
from tests.detectors.test_overfit import assert_masks_match, scenes
from tests.marks import ON_CI

BACKBONE = dataclasses.replace(models.BACKBONE, base_channels=16, frozen_stages=-1)
NECK = FPNConfig(out_channels=32, num_outputs=4)
CONFIGS: dict[str, DetectorConfig] = {
    "detr": SetPredictionConfig(
        backbone=dataclasses.replace(BACKBONE, out_stages=(2,)),
        bbox_head=DETRHeadConfig(
            num_queries=6,
            transformer=TransformerConfig(
                channels=32,
                num_heads=4,
                encoder_layers=1,
                decoder_layers=2,
                feedforward_channels=64,
                dropout=0.0,
            ),
        ),
    ),
    "queryinst": SparseConfig(
        backbone=BACKBONE,
        neck=NECK,
        rpn_head=LearnedProposalsConfig(num_proposals=6),
        roi_head=SparseRoIHeadConfig(
            num_stages=2,
            box_head=InteractionHeadConfig(
                num_heads=4, dynamic_channels=16, feedforward_channels=64
            ),
            # Two pictures are too few for the statistics of a batch norm.
            mask_head=DynamicMaskHeadConfig(
                dynamic_channels=16, num_convs=1, norm=GroupNormConfig(groups=4)
            ),
        ),
    ),
    "solo": SOLOConfig(
        backbone=BACKBONE,
        neck=dataclasses.replace(NECK, num_outputs=5),
        mask_head=SOLOHeadConfig(
            num_convs=2, channels=32, norm=GroupNormConfig(groups=4), grids=(8, 6, 5, 4, 3)
        ),
    ),
}


def learn(name: str, steps: int, rate: float) -> tuple[Detector, dict[str, float]]:
    """The trained detector, and its last losses."""
    torch.manual_seed(0)
    model = CONFIGS[name].build(models.CLASSES).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, targets = scenes()
    losses = Losses()
    for _ in range(steps):
        losses = model(images, targets)
        optimizer.zero_grad()
        losses.total().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval(), {key: value.item() for key, value in losses.items()}


@pytest.mark.parametrize(
    ("name", "steps", "rate"),
    [
        ("detr", 200, 2e-3),
        pytest.param("queryinst", 150, 2e-3, marks=ON_CI),
        pytest.param("solo", 200, 5e-3, marks=ON_CI),
    ],
)
def test_detector(name: str, steps: int, rate: float) -> None:
    model, losses = learn(name, steps, rate)
    images, targets = scenes()
    with torch.no_grad():
        detections = model(images)
    for found, target, info in zip(detections, targets, images.infos):
        best = found[: len(target)]
        best = best[best.labels.argsort()]
        assert best.labels.tolist() == target.labels.tolist(), losses
        assert (best.scores > 0.5).all(), losses
        assert (pairwise_iou(best.boxes, target.boxes).diag() > 0.7).all()
        if model.config.predicts_masks:
            assert_masks_match(best.to_original(info).masks, target)
