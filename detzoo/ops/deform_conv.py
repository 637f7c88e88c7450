"""Deformable convolution in any precision (https://arxiv.org/abs/1703.06211)."""

from __future__ import annotations

from typing import Any

import torch
import torchvision.ops
from torch import Tensor

# An integer, or one for each axis, as torch's convolutions hold them.
Sizes = Any


def deform_conv2d(
    x: Tensor,
    shifts: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = (1, 1),
    padding: Sizes = (0, 0),
    dilation: Sizes = (1, 1),
    weights: Tensor | None = None,
) -> Tensor:
    """x (B, C, H, W), shifts (B, 2 * groups * h * w, H', W'), kernel (C', C / groups, h, w).

    ``weights`` (B, groups * h * w, H', W') multiply the samples. torchvision has it in float32 and
    float16, so bfloat16 is computed in float32.
    """
    if x.dtype == torch.bfloat16:
        wide = deform_conv2d(
            x.float(),
            shifts.float(),
            kernel.float(),
            None if bias is None else bias.float(),
            stride,
            padding,
            dilation,
            None if weights is None else weights.float(),
        )
        return wide.to(x.dtype)
    shifts, kernel = shifts.to(x.dtype), kernel.to(x.dtype)
    return torchvision.ops.deform_conv2d(
        x, shifts, kernel, bias, stride, padding, dilation, weights
    )
