"""Every kind of dense head learns two pictures by heart."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.ops.boxes import pairwise_iou
from tests.detectors import dense_models, models
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
    steps = STEPS.get(name, 130)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATES.get(name, 2e-3))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, targets = scenes()
    model.train()
    for _ in range(steps):
        losses = model(images, targets)
        optimizer.zero_grad()
        sum(value for key, value in losses.items() if "loss" in key).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = model.eval()(images)
    for detections, target in zip(found, targets):
        best = detections[: len(target)]
        best = best[best.labels.argsort()]
        assert best.labels.tolist() == target.labels.tolist()
        assert (pairwise_iou(best.boxes, target.boxes).diag() > 0.8).all()
        assert (best.scores > 0.5).all()
