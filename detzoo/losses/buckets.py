"""Losses of side buckets and offsets (SABL, https://arxiv.org/abs/1912.04260)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.coders.buckets import BucketCoder
from detzoo.losses.boxes import BoxLoss


def bucket_losses(
    coder: BucketCoder,
    offset_loss: BoxLoss,
    codes: Tensor,
    references: Tensor,
    boxes: Tensor,
    weights: Tensor,
) -> tuple[Tensor, Tensor]:
    """Computes summed losses of codes (..., D), for references (..., 4), boxes (..., 4), weights
    (...).

    Returns the cross entropy of the buckets, and the loss of the offsets.
    """
    with torch.no_grad():
        wanted = coder.encode(references, boxes)
        counted = coder.weights(references, boxes) * weights[..., None]
    logits, offsets = codes.chunk(2, -1)
    labels, wanted_offsets = wanted.chunk(2, -1)
    label_weights, offset_weights = counted.chunk(2, -1)
    buckets = F.binary_cross_entropy_with_logits(logits, labels, label_weights, reduction="sum")
    return buckets, offset_loss(
        offsets.reshape(-1, 1), wanted_offsets.reshape(-1, 1), offset_weights.flatten()
    )
