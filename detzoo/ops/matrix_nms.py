"""Matrix NMS for masks (SOLOv2, https://arxiv.org/abs/2003.10152)."""

from __future__ import annotations

import torch
from torch import Tensor


def matrix_decay(masks: Tensor, labels: Tensor, sigma: float) -> Tensor:
    """Computes factors (N,) that decay the scores of binary masks (N, ...), sorted by score.

    A mask decays with its IoU with each higher-scored mask of the same label (N,), less if that one
    itself overlaps a higher-scored mask, both by a Gaussian of the IoU; the strongest decay is
    applied.
    """
    if len(masks) == 0:
        return masks.new_zeros(0, dtype=torch.float32)
    flat = masks.flatten(1).float()
    common = flat @ flat.T
    area = flat.sum(1)
    iou = common / (area[:, None] + area - common).clamp(min=1)  # of empty masks, 0
    # (i, j): how mask j overlaps the better mask i of its label.
    iou = (iou * (labels[:, None] == labels)).triu(diagonal=1)
    most = iou.amax(0)[:, None]
    return torch.exp(sigma * (most.square() - iou.square())).amin(0)
