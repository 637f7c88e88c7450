"""Detectors on a backbone with branches."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from detzoo.backbones.trident_resnet import TridentConv2d, TridentResNetConfig
from detzoo.config import ConfigError
from detzoo.detectors.trident import Trident, TridentConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.structures import ImageBatch, ImageInfo, Targets

BACKBONE = TridentResNetConfig(
    base_channels=8, frozen_stages=-1, norm=BatchNormConfig(fixed_statistics=True), zero_init=False
)


def build(test_branch: int | None = 1) -> Trident:
    torch.manual_seed(0)
    model = TridentConfig(
        backbone=dataclasses.replace(BACKBONE, test_branch=test_branch),
        rpn_head=RPNHeadConfig(channels=8),
        roi_head=StandardRoIHeadConfig(
            extractor=PyramidRoIAlignConfig(num_levels=1), box_head=BoxHeadConfig(fc_channels=16)
        ),
    ).build(2)
    # So that it finds something.
    torch.nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.1)
    model.roi_head.bbox_head.fc_cls.bias.data = torch.tensor([0.0, 0.0, -3.0])
    return model


def batch(count: int = 2) -> ImageBatch:
    pixels = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    return ImageBatch(pixels[:count], (ImageInfo.of((64, 96)),) * count)


def test_branches_share_weights_and_differ_in_dilation() -> None:
    like = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)
    conv = TridentConv2d(like, (1, 3), test_branch=1)
    x = torch.randn(4, 3, 9, 9)
    near, far = (F.conv2d(x, conv.weight, padding=d, dilation=d) for d in (1, 3))
    torch.testing.assert_close(conv(x), torch.cat([near[:2], far[2:]]))
    torch.testing.assert_close(conv.eval()(x), far)


def test_a_branch_per_dilation_in_training_and_one_in_inference() -> None:
    model = build()
    x = batch().pixels
    (trained,) = model.train().backbone(x)
    assert trained.shape == (6, 128, 4, 6)
    for branch, of_branch in enumerate(trained.split(2)):
        other = copy.deepcopy(build(branch)).eval()
        other.load_state_dict(model.state_dict())
        (tested,) = other.backbone(x)
        torch.testing.assert_close(of_branch, tested, rtol=1e-3, atol=1e-4)


def test_every_branch_learns_all_objects() -> None:
    """As if it were an image of its own."""
    model = build().train()
    boxes = torch.tensor([[10.0, 8, 50, 48], [30, 20, 90, 60]])
    targets = [Targets.of(boxes, torch.tensor([0, 1])), Targets.of(boxes[:1], torch.tensor([1]))]
    seen = []
    assign = model.rpn_head.assign
    model.rpn_head.assign = lambda p, t, i: seen.append((len(p), len(t), len(i))) or assign(p, t, i)
    losses = model(batch(), targets)
    assert seen == [(6, 6, 6)]
    losses.total().backward()
    assert model.backbone.layer3[0].conv2.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_all_branches_together_are_one_image() -> None:
    model = build(None).eval()
    found = model(batch())
    assert len(found) == 2
    alone = []
    for branch in range(3):
        one = build(branch).eval()
        one.load_state_dict(model.state_dict())
        alone.append(one(batch())[0])
    best = max(float(detections.scores.amax()) for detections in alone)
    torch.testing.assert_close(found[0].scores[0], torch.tensor(best))
    assert len(found[0]) <= 100
    assert (found[0].scores.diff() <= 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 18}, "depth 50 or more"),
        ({"out_stages": (1, 2)}, "third and last stage"),
        ({"frozen_stages": 3}, "freezes the branches"),
        ({"test_branch": 3}, "none of 3 branches"),
        ({"dilations": (1, 1, 2)}, "dilations of its branches"),
    ],
)
def test_what_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(BACKBONE, **change)
