"""Hard negative mining (SSD, https://arxiv.org/abs/1512.02325)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.heads.dense.base import DenseHeadConfig, DenseTargets
from detzoo.structures import DensePredictions, Losses


def hard_negative_losses(
    config: DenseHeadConfig,
    predictions: DensePredictions,
    targets: DenseTargets,
    num_classes: int,
    negative_ratio: int,
    *,
    all_without_positives: bool = False,
) -> Losses:
    """Computes losses of classes and boxes with hard negative mining, averaged over the samples.

    Of the background priors of an image, those with the highest losses are used, ``negative_ratio``
    per positive. Without positives, none is used, or all with ``all_without_positives``.
    """
    logits = predictions.cls_logits.float().flatten(0, 1)
    losses = config.classification_loss.weighted(logits, targets.labels.flatten())
    losses = losses.view_as(targets.labels) * targets.label_weights
    is_positive = targets.labels < num_classes
    wanted = is_positive.sum(1, keepdim=True) * negative_ratio
    if all_without_positives:
        wanted = torch.where(wanted > 0, wanted, is_positive.shape[1])
    counts = is_positive | (_rank(losses, is_positive) < wanted)
    encoded = config.coder.encode(predictions.priors.boxes, targets.boxes)
    box = config.box_loss(
        predictions.box_deltas.float().flatten(0, 1),
        encoded.flatten(0, 1),
        targets.box_weights.flatten(),
    )
    return Losses(
        loss_cls=(losses * counts).sum() / targets.num_samples,
        loss_bbox=box / targets.num_samples,
    )


def _rank(losses: Tensor, is_positive: Tensor) -> Tensor:
    """The rank (B, P) of every prior among the negatives of its image, by descending loss."""
    hardness = losses.detach().masked_fill(is_positive, -1.0)
    return hardness.argsort(1, descending=True).argsort(1)
