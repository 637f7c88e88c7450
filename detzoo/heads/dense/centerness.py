"""Centerness: how central a point is in its box, as a measure of prediction quality.

Introduced by FCOS (https://arxiv.org/abs/1904.01355), also used by ATSS.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.heads.dense.base import DenseHeadConfig, DenseTargets
from detzoo.ops.boxes import box_centers, inner_distances
from detzoo.ops.distributed import average_over_processes
from detzoo.structures import DensePredictions, Losses


def centerness_target(distances: Tensor) -> Tensor:
    """The centerness of points at ``distances`` (..., 4) from left, top, right and bottom -> (...):
    1 at the center, 0 outside."""
    low = torch.minimum(distances[..., :2], distances[..., 2:]).clamp(min=0)
    high = torch.maximum(distances[..., :2], distances[..., 2:]).clamp(min=1e-6)
    return (low / high).prod(-1).sqrt()


def centerness_losses(
    config: DenseHeadConfig,
    predictions: DensePredictions,
    targets: DenseTargets,
    *,
    num_samples: Tensor,
    min_total: float,
) -> Losses:
    """The losses of classes, boxes and centerness.

    The box loss is weighted by centerness and divided by its total, at least ``min_total``; the
    other losses are divided by ``num_samples``.
    """
    assert predictions.quality_logits is not None
    references = predictions.priors.boxes
    centerness = centerness_target(inner_distances(box_centers(references), targets.boxes))
    weights = centerness * targets.box_weights  # (B, P)
    classification = config.classification_loss(
        predictions.cls_logits.flatten(0, 1).float(),
        targets.labels.flatten(),
        targets.label_weights.flatten(),
    )
    boxes = config.coder.decode(references, predictions.box_deltas.float())
    box = config.box_loss(boxes.flatten(0, 1), targets.boxes.flatten(0, 1), weights.flatten())
    quality = F.binary_cross_entropy_with_logits(
        predictions.quality_logits.float(), centerness, targets.box_weights, reduction="sum"
    )
    return Losses(
        loss_cls=classification / num_samples,
        loss_bbox=box / average_over_processes(weights.sum()).clamp(min=min_total),
        loss_centerness=quality / num_samples,
    )
