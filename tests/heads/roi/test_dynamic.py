from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import ConfigError
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.dynamic import DynamicRoIHead, DynamicRoIHeadConfig
from detzoo.heads.roi.regions import LabeledRegions
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import L1Loss, SmoothL1Loss
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Assignment
from tests.heads.roi.test_cascade import EXTRACTOR
from tests.heads.roi.test_standard import (
    CHANNELS,
    CLASSES,
    FAR,
    INFO,
    NEAR_FIRST,
    NONE,
    STRIDES,
    features,
    proposals,
    targets,
)

SAMPLER = RandomSampler(num=64, positive_fraction=0.5, adds_targets=True)


def build(**fields: object) -> DynamicRoIHead:
    torch.manual_seed(0)
    config = DynamicRoIHeadConfig(
        extractor=EXTRACTOR,
        box_head=BoxHeadConfig(fc_channels=8, box_loss=SmoothL1Loss(weight=2.0)),
        sampler=SAMPLER,
    )
    config = dataclasses.replace(config, **fields)  # type: ignore[arg-type]
    return config.build(CHANNELS, STRIDES, CLASSES)


def regions(*ious: float) -> LabeledRegions:
    count = len(ious)
    assignment = Assignment(torch.zeros(count, dtype=torch.int64), torch.tensor(ious))
    return LabeledRegions(torch.zeros(count, 4), torch.zeros(count).long(), assignment, 0)


def adapt(head: DynamicRoIHead, ious: list[LabeledRegions], errors: list[float]) -> None:
    head._adapt(ious, torch.tensor(errors))


def test_what_is_asked_for_follows_what_is_reached() -> None:
    head = build(update_interval=2, iou_rank=2, error_rank=1)
    # Of two images the second highest IoU, and the second smallest of all errors.
    adapt(head, [regions(0.9, 0.8, 0.1), regions(0.7, 0.6)], [0.5, 0.1, 0.3])
    assert head.min_positive_iou.item() == 0.5
    assert head.beta.item() == 1.0
    adapt(head, [regions(0.9, 0.5), regions(0.9)], [0.7])
    # The lowest where there are fewer; means over images and steps; the median of two is their mean
    assert head.min_positive_iou.item() == pytest.approx((0.7 + 0.7) / 2)
    assert head.beta.item() == pytest.approx((0.3 + 0.7) / 2)


def test_limits() -> None:
    head = build(update_interval=1, iou_rank=1, error_rank=1)
    adapt(head, [regions(0.2)], [3.0])
    assert head.min_positive_iou.item() == pytest.approx(0.4)
    assert head.beta.item() == 1.0
    # Errors of nothing would leave no quadratic part.
    adapt(head, [regions(0.9)], [0.0])
    assert head.min_positive_iou.item() == pytest.approx(0.9)
    assert head.beta.item() == 1.0


def test_steps_without_positive_regions_do_not_count() -> None:
    head = build(update_interval=2, error_rank=1)
    adapt(head, [regions(0.6)], [])
    adapt(head, [regions(0.6)], [0.2])
    assert head.beta.item() == pytest.approx(0.2)
    for _ in range(2):
        adapt(head, [regions(0.6)], [])
    assert head.beta.item() == pytest.approx(0.2)


def losses(head: DynamicRoIHead) -> dict[str, Tensor]:
    given = [proposals([8.0, 4, 30, 26], NEAR_FIRST, FAR), proposals(FAR)]
    return head.loss(features(2), given, [targets(), NONE], [INFO, INFO])


def test_beta_and_the_threshold_are_those_of_the_moment() -> None:
    """The losses are those of a plain box head with the settings that have been reached."""
    head = build()
    head.min_positive_iou.fill_(0.95)
    head.beta.fill_(0.1)
    found = losses(head)
    plain = StandardRoIHeadConfig(
        extractor=EXTRACTOR,
        box_head=BoxHeadConfig(fc_channels=8, box_loss=SmoothL1Loss(weight=2.0, beta=0.1)),
        assigner=MaxIoUAssigner(
            positive_iou=0.95, negative_iou=0.95, min_positive_iou=0.95, match_low_quality=False
        ),
        sampler=SAMPLER,
    ).build(CHANNELS, STRIDES, CLASSES)
    plain.load_state_dict(head.state_dict())
    given = [proposals([8.0, 4, 30, 26], NEAR_FIRST, FAR), proposals(FAR)]
    wanted = plain.loss(features(2), given, [targets(), NONE], [INFO, INFO])
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)


def test_a_step_is_noted() -> None:
    head = build(update_interval=1)
    losses(head)
    assert head.steps.item() == 1
    assert head.min_positive_iou.item() != 0.5


def test_published_checkpoints_have_nothing_of_it() -> None:
    head = build()
    assert not {"beta", "min_positive_iou", "ious", "errors", "steps"} & set(head.state_dict())
    assert {"beta", "min_positive_iou"} <= {name for name, _ in head.named_buffers()}


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="must be SmoothL1Loss"):
        build(box_head=BoxHeadConfig(box_loss=L1Loss()))
    with pytest.raises(ConfigError, match="update_interval: 0 is not at least 1"):
        build(update_interval=0)
