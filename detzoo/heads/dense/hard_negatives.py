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
    """Losses of classes and boxes, averaged over the samples.

    Of the background priors of an image, those with the highest losses count, ``negative_ratio``
    per positive. Where there is no positive, none counts, or with ``all_without_positives`` all.
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
    """(B, P) the rank of every prior among the negatives of its image, hardest first."""
    hardness = losses.detach().masked_fill(is_positive, -1.0)
    return hardness.argsort(1, descending=True).argsort(1)
