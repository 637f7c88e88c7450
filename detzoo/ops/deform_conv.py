"""Deformable convolution in all precisions (https://arxiv.org/abs/1703.06211)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
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


def sampled_deform_conv2d(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Tensor:
    """The same by sampling and a matrix product, for runtimes without the operator.

    The arguments are those of ``torch.ops.torchvision.deform_conv2d``.
    """
    images, channels, height, width = x.shape
    rows, columns = offset.shape[2:]
    kernel_h, kernel_w = weight.shape[2:]
    taps = kernel_h * kernel_w
    offset = offset.view(images, offset_groups, taps, 2, rows, columns)
    tap = torch.arange(taps, device=x.device)
    first_y, first_x = tap // kernel_w * dilation_h - pad_h, tap % kernel_w * dilation_w - pad_w
    row = torch.arange(rows, device=x.device) * stride_h
    column = torch.arange(columns, device=x.device) * stride_w
    y = offset[:, :, :, 0] + (first_y[:, None] + row)[:, :, None]  # (B, G, K, H', W') in cells
    at_x = offset[:, :, :, 1] + (first_x[:, None] + column)[:, None]
    grid = torch.stack([(2 * at_x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    maps = x.reshape(images * offset_groups, channels // offset_groups, height, width)
    flat = grid.view(images * offset_groups, taps * rows, columns, 2)
    samples = F.grid_sample(maps, flat, align_corners=False)  # (BG, C / G, K H', W')
    samples = samples.view(images, offset_groups, -1, taps, rows, columns)
    if use_mask:
        samples = samples * mask.view(images, offset_groups, 1, taps, rows, columns)
    samples = samples.reshape(images, groups, channels // groups * taps, rows * columns)
    kernels = weight.view(groups, weight.shape[0] // groups, -1)
    out = (kernels @ samples).view(images, weight.shape[0], rows, columns)
    return out + bias[:, None, None]
