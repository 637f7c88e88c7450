"""Operators on feature maps: corner pooling, CARAFE's upsampling, deformable convolution."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision.ops
from torch import Tensor

from benchmarks.ops.pair import Run, pair
from detzoo.ops.carafe import carafe
from detzoo.ops.corner_pool import corner_pool
from detzoo.ops.deform_conv import deform_conv2d


def prepare_corner_pooling(device: torch.device, *, training: bool) -> tuple[Run, Run]:
    """The top left corners of CornerNet, on a picture of 511 x 511."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn((1, 128, 128, 128), generator=generator).to(device) for _ in range(2)]
    return pair(
        lambda x, y: row_by_row(x, 2) + row_by_row(y, 3),
        lambda x, y: corner_pool(x, "top") + corner_pool(y, "left"),
        maps,
        training=training,
    )


def row_by_row(x: Tensor, axis: int) -> Tensor:
    """From the last row to the first: the highest of a row and of what was found so far."""
    rows = list(x.unbind(axis))
    for i in reversed(range(len(rows) - 1)):
        rows[i] = torch.maximum(rows[i], rows[i + 1])
    return torch.stack(rows, axis)


def prepare_carafe(device: torch.device, *, training: bool) -> tuple[Run, Run]:
    """From stride 16 to stride 8 in FPN-CARAFE, on a picture of 800 x 1216."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, 256, 50, 76), generator=generator)
    kernels = torch.randn((1, 25, 100, 152), generator=generator).softmax(1)
    inputs = [x.to(device), kernels.to(device)]
    return pair(gather_and_sum, carafe, inputs, training=training)


def gather_and_sum(x: Tensor, kernels: Tensor) -> Tensor:
    """Every cell's neighbourhood, multiplied with the kernels of its output cells and summed."""
    images, channels, height, width = x.shape
    size, scale = math.isqrt(kernels.shape[1]), kernels.shape[2] // height
    around = F.unfold(x, size, padding=size // 2).view(images, channels, -1, height, width)
    weights = kernels.reshape(images, -1, height, scale, width, scale)
    out = torch.einsum("bckhw, bkhywx -> bchywx", around, weights)
    return out.reshape(images, channels, scale * height, scale * width)


def prepare_deformable_convolution(device: torch.device, *, training: bool) -> tuple[Run, Run]:
    """One of the six in the third stage of a ResNet, on a picture of 800 x 1216."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device)

    x = drawn(1, 256, 50, 76).to(memory_format=torch.channels_last)
    inputs = [x, 2 * drawn(1, 18, 50, 76), 0.05 * drawn(256, 256, 3, 3), drawn(1, 9, 50, 76)]

    def by(convolve: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, offset, weight, mask: convolve(
            x, offset, weight, padding=(1, 1), mask=mask.sigmoid()
        )

    convolutions = by(torchvision.ops.deform_conv2d), by(deform_conv2d)
    return pair(*convolutions, inputs, training=training)
