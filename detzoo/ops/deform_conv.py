"""Deformable convolution in all precisions (https://arxiv.org/abs/1703.06211)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchvision.ops
from torch import Tensor
from torch.nn.modules.utils import _pair

from detzoo.ops.weighted_rows import Terms, neighbors, weighted_rows, works_by_rows

# One integer, or one per axis, as the attributes of PyTorch's convolutions.
Sizes = Any
# Of a group; with fewer, rows are too short to be faster than torchvision.
MIN_CHANNELS = 8


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

    ``mask`` (B, groups * h * w, H', W') multiplies the samples. bfloat16 is computed in float32.
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
    if _works_by_rows(x, offset, weight):
        place = _pair(stride), _pair(padding), _pair(dilation)
        with torch.autocast("cpu", enabled=False):
            return _by_rows(x, offset, weight, bias, *place, mask)
    return torchvision.ops.deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask)


# --------------------------------------------------------------------------------- on a CPU
#
# A sample is a weighted sum of four cells, and a cell a row of all channels: in channels-last
# memory both are contiguous. torchvision samples the channels one by one, on one core.


def _works_by_rows(x: Tensor, offset: Tensor, weight: Tensor) -> bool:
    groups = offset.shape[1] // (2 * weight.shape[2] * weight.shape[3])
    is_worth_it = offset.numel() > 0 and x.shape[1] // groups >= MIN_CHANNELS
    return works_by_rows(x) and is_worth_it and x.dtype in (torch.float32, torch.float64)


def _by_rows(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    mask: Tensor | None,
) -> Tensor:
    images, channels, height, width = x.shape
    outputs, own_channels, kernel_h, kernel_w = weight.shape
    rows, columns = offset.shape[2:]
    taps, cells = kernel_h * kernel_w, images * rows * columns
    groups = offset.shape[1] // (2 * taps)
    # Axes: y or x, group, image, output cell, tap.
    offset = offset.view(images, groups, taps, 2, -1).permute(3, 1, 0, 4, 2)
    y_at, x_at = _positions((kernel_h, kernel_w), (rows, columns), stride, padding, dilation)
    y, y_weight = neighbors(offset[0] + y_at.to(offset), height)
    x_, x_weight = neighbors(offset[1] + x_at.to(offset), width)
    if mask is not None:
        y_weight = y_weight * mask.view(images, groups, taps, -1).permute(1, 0, 3, 2)[..., None]
    first = torch.arange(images, dtype=torch.int32)[:, None, None, None] * (height * width)
    index = (first + y * width)[..., :, None] + x_[..., None, :]
    weights = y_weight[..., :, None] * x_weight[..., None, :]
    starts = torch.arange(0, 4 * cells * taps, 4, dtype=torch.int32)
    tables = x.permute(0, 2, 3, 1).reshape(images * height * width, groups, -1).unbind(1)
    samples = [
        weighted_rows([table.contiguous()], [Terms(None, starts, own.flatten(), by.flatten())])
        for table, own, by in zip(tables, index, weights)
    ]  # per group (cells * taps, channels)
    sampled = samples[0] if groups == 1 else torch.cat(samples, 1)
    if own_channels == channels:
        out = sampled.view(cells, -1) @ weight.permute(2, 3, 1, 0).reshape(-1, outputs)
    else:
        count = channels // own_channels
        sampled = sampled.view(cells, taps, count, own_channels).permute(2, 0, 1, 3)
        kernels = weight.view(count, outputs // count, own_channels, taps).permute(0, 3, 2, 1)
        out = sampled.reshape(count, cells, -1) @ kernels.reshape(count, taps * own_channels, -1)
        out = out.permute(1, 0, 2).reshape(cells, outputs)
    if bias is not None:
        out = out + bias
    return out.view(images, rows, columns, outputs).permute(0, 3, 1, 2)


def _positions(
    kernel: tuple[int, int],
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Where the taps of a kernel are without offsets: y and x (output cells, taps)."""
    at = [
        torch.arange(cells)[:, None] * step + torch.arange(taps) * gap - pad
        for cells, taps, step, gap, pad in zip(size, kernel, stride, dilation, padding)
    ]
    shape = (*size, *kernel)  # row, column, tap's row, tap's column
    y = at[0][:, None, :, None].expand(shape).reshape(size[0] * size[1], -1)
    return y, at[1][None, :, None, :].expand(shape).reshape(size[0] * size[1], -1)


# ------------------------------------------------------------------------------ in a program


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
