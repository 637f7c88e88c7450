"""Two pictures learned by heart: what the tests of several families do."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detzoo.detectors.base import Detector
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import ImageBatch, Targets


def assert_learned_by_heart(
    model: Detector,
    images: ImageBatch,
    targets: Sequence[Targets],
    *,
    steps: int,
    lr: float,
    min_iou: float,
    min_score: float,
) -> None:
    """Trains ``model`` on nothing else; then its best detections must be the objects."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(steps):
        losses = model(images, targets)
        optimizer.zero_grad()
        losses.total().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = model.eval()(images)
    for detections, target in zip(found, targets):
        best = detections[: len(target)]
        best = best[best.labels.argsort()]
        assert best.labels.tolist() == target.labels.tolist()
        assert (pairwise_iou(best.boxes, target.boxes).diag() > min_iou).all()
        assert (best.scores > min_score).all()
