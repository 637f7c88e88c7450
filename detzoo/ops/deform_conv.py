"""Deformable convolution in all precisions (https://arxiv.org/abs/1703.06211)."""

from __future__ import annotations

from typing import Any

import torch
import torchvision.ops
from torch import Tensor

# One integer, or one per axis, as the attributes of PyTorch's convolutions.
Sizes = Any


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = (1, 1),
    padding: Sizes = (0, 0),
    dilation: Sizes = (1, 1),
    mask: Tensor | None = None,
) -> Tensor:
    """x (B, C, H, W), offset (B, 2 * groups * h * w, H', W'), weight (C', C / groups, h, w) -> (B,
    C', H', W').

    ``mask`` (B, groups * h * w, H', W') multiplies the samples. torchvision supports float32 and
    float16; bfloat16 is computed in float32.
    """
    if x.dtype == torch.bfloat16:
        wide = deform_conv2d(
            x.float(),
            offset.float(),
            weight.float(),
            None if bias is None else bias.float(),
            stride,
            padding,
            dilation,
            None if mask is None else mask.float(),
        )
        return wide.to(x.dtype)
    offset, weight = offset.to(x.dtype), weight.to(x.dtype)
    return torchvision.ops.deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask)
