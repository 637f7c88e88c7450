"""Every kind of dense head learns two pictures by heart."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.detectors import dense_models, models
from tests.detectors.by_heart import assert_learned_by_heart
from tests.detectors.test_overfit import scenes
from tests.marks import ON_CI

# Those that learn by predictions of their own need more than 130 steps.
STEPS = {"foveabox-align": 160, "autoassign": 220, "yolof": 220, "free_anchor": 160, "ghm": 160}
RATES = {"gfl": 4e-3, "yolof": 4e-3}


# One with points and centerness, one with distributions, one with anchors that chooses its own
# samples. The steps of all others are tested above; that they learn takes a minute together.
BY_DEFAULT = ("fcos", "gfl", "free_anchor")


def marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    if name in BY_DEFAULT:
        return ()
    # Variants of a family take minutes together and seldom fail alone.
    return (pytest.mark.slow,) if "-" in name else ON_CI


BY_HEART = [pytest.param(name, marks=marks(name)) for name in dense_models.NAMES]


@pytest.mark.parametrize("name", BY_HEART)
def test_two_pictures_are_learned_by_heart(name: str) -> None:
    torch.manual_seed(0)
    config = dense_models.detector(name, base_channels=16, channels=32)
    if name == "yolof":  # on a map with cells that are not larger than the objects
        backbone = dataclasses.replace(config.backbone, out_stages=(2,))  # type: ignore[call-arg]
        config = dataclasses.replace(config, backbone=backbone)
    model = config.build(models.CLASSES)
    assert_learned_by_heart(
        model,
        *scenes(),
        steps=STEPS.get(name, 130),
        lr=RATES.get(name, 2e-3),
        min_iou=0.8,
        min_score=0.5,
    )
