"""Suppression of duplicate masks, all at once (SOLOv2, https://arxiv.org/abs/2003.10152)."""

from __future__ import annotations

import torch
from torch import Tensor


def matrix_decay(masks: Tensor, labels: Tensor, sigma: float) -> Tensor:
    """What the scores of masks (N, ...), 0 or 1 and best first, are to be multiplied with, (N,).

    A mask falls with its IoU with each better mask of its label (N,), the less so, the more that
    one overlaps a better one itself. Both by a Gaussian of the IoU; the worst case counts.
    """
    if len(masks) == 0:
        return masks.new_zeros(0, dtype=torch.float32)
    flat = masks.flatten(1).float()
    common = flat @ flat.T
    area = flat.sum(1)
    iou = common / (area[:, None] + area - common)
    # (i, j): how mask j overlaps the better mask i of its label.
    iou = (iou * (labels[:, None] == labels)).triu(diagonal=1)
    most = iou.amax(0)[:, None]
    return torch.exp(sigma * (most.square() - iou.square())).amin(0)
