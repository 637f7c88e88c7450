"""Matrix NMS for masks (SOLOv2, https://arxiv.org/abs/2003.10152)."""

from __future__ import annotations

import torch
from torch import Tensor


def matrix_decay(masks: Tensor, labels: Tensor, sigma: float) -> Tensor:
    """Factors (N,) by which to decay the scores of masks (N, ...), 0 or 1 and sorted best first.

    A mask decays with its IoU with each better mask of the same label (N,), less if that one
    overlaps a still better mask itself, both by a Gaussian of the IoU; the strongest decay counts.
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
