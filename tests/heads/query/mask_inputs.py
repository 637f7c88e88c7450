"""Weights, maps and targets of narrow heads of masks, the same in every implementation."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.parity import inputs

CHANNELS, STRIDES = (16, 24, 32, 40), (4, 8, 16, 32)
SIZE, SIZES = (64, 96), ((64, 96), (48, 80))
THINGS, STUFF = 3, 2


def fill(head: nn.Module) -> None:
    """Defines every parameter by its name, and stops dropout."""
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            values = inputs.fill(f"panoptic_head.{name}", tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))
    head.mask_embed[4].weight.data.mul_(0.1)  # masks that are not all but certain
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0


def rand(*shape: Any, **_: Any) -> Tensor:
    """In place of ``torch.rand``: what is drawn follows from the shape, whatever the order."""
    size = tuple(shape[0]) if isinstance(shape[0], tuple) else shape
    stream = np.random.RandomState(zlib.crc32(str(size).encode()))
    return torch.from_numpy(stream.rand(*size))


def features() -> list[Tensor]:
    """Maps of two images."""
    stream = np.random.RandomState(0)
    sizes = [(2, c, SIZE[0] // s, SIZE[1] // s) for c, s in zip(CHANNELS, STRIDES)]
    return [torch.from_numpy(stream.standard_normal(size)) for size in sizes]


def targets() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Labels (N,), masks (N, H, W) and semantic map (H, W) of each image: rectangles on bands."""
    found = []
    for number, (height, width) in enumerate(SIZES):
        stream = np.random.RandomState(number)
        masks = np.zeros((3 - number, height, width), np.uint8)
        labels = stream.randint(0, THINGS, len(masks))
        semantic = np.full((height, width), 255, np.uint8)
        semantic[8 : height // 2], semantic[height // 2 :] = THINGS, THINGS + 1
        for label, mask in zip(labels, masks):
            top, left = stream.randint(0, height - 30), stream.randint(0, width - 30)
            mask[top : top + stream.randint(9, 30), left : left + stream.randint(9, 30)] = 1
            semantic[mask > 0] = label
        tensors = (torch.from_numpy(one) for one in (labels, masks, semantic))
        found.append(tuple(tensors))  # type: ignore[arg-type]
    return found
