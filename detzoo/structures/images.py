"""Batches of images, and the mapping between original and input pixels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detzoo.ops.boxes import clip_boxes, flip_boxes
from detzoo.structures.targets import Targets

Size = tuple[int, int]  # (height, width)
Flip = Literal["none", "horizontal", "vertical", "diagonal"]


@dataclass(frozen=True)
class ImageInfo:
    """The geometric transform of an image from its file to the network input.

    The original image was scaled by ``scale`` (x, y), flipped by ``flip``, then shifted by
    ``offset`` (x, y) pixels: ``x_input = flip(x_original * scale_x) + offset_x``. ``size`` is that
    of the image in the input, ``padded_size`` includes the recipe's own padding. Sizes are (height,
    width).
    """

    id: int | str
    path: str
    original_size: Size
    size: Size
    padded_size: Size
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    flip: Flip = "none"

    @classmethod
    def of(cls, size: Size, *, id: int | str = 0, path: str = "") -> ImageInfo:
        """Creates the info of an untransformed image."""
        return cls(id=id, path=path, original_size=size, size=size, padded_size=size)

    def padded_to(self, divisor: int) -> ImageInfo:
        """Returns the info with padding at the right and bottom to multiples of ``divisor``."""
        height, width = (math.ceil(side / divisor) * divisor for side in self.size)
        return dataclasses.replace(self, padded_size=(height, width))

    @property
    def scaled_size(self) -> tuple[float, float]:
        """The size (height, width) of the whole original image at the scale of the input."""
        (height, width), (x, y) = self.original_size, self.scale
        return height * y, width * x

    def to_input(self, boxes: Tensor) -> Tensor:
        """Maps boxes (K, 4) from original to input pixels, clipped to the image."""
        scaled = boxes * boxes.new_tensor(self.scale).repeat(2)
        flipped = flip_boxes(scaled, self.scaled_size, self.flip)
        return clip_boxes(flipped + boxes.new_tensor(self.offset).repeat(2), self.size)

    def to_original(self, boxes: Tensor) -> Tensor:
        """Maps boxes (K, 4) from input to original pixels, clipped to the image."""
        scaled = boxes - boxes.new_tensor(self.offset).repeat(2)
        unflipped = flip_boxes(scaled, self.scaled_size, self.flip)
        return clip_boxes(unflipped / boxes.new_tensor(self.scale).repeat(2), self.original_size)


def sizes_of(infos: Sequence[ImageInfo]) -> Tensor:
    """The sizes (B, 2: height, width) of images in the input, on the CPU unless they already are
    tensors (see :mod:`detzoo.export.static`).
    """
    sizes = [info.size for info in infos]
    if isinstance(sizes[0][0], Tensor):
        return torch.stack([side for size in sizes for side in size]).view(-1, 2)
    return torch.tensor(sizes)


@dataclass(frozen=True)
class Batch:
    """A batch from the loader: raw pixels, and targets in training.

    ``pixels`` are (B, H, W, 3) BGR as decoded, uint8 (float32 after photometric transforms), padded
    with zeros. ``targets`` has one entry per image or is empty, and so has ``proposals``:
    precomputed boxes (K, 4) in original pixels, sorted by score in descending order.
    """

    pixels: Tensor
    infos: tuple[ImageInfo, ...]
    targets: tuple[Targets, ...] = ()
    proposals: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.infos)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            self.pixels.to(device, non_blocking=True),
            self.infos,
            tuple(target.to(device) for target in self.targets),
            tuple(boxes.to(device, non_blocking=True) for boxes in self.proposals),
        )

    def pin_memory(self) -> Batch:
        """Pins memory for asynchronous copies to the device; called by PyTorch's data loader."""
        return dataclasses.replace(self, pixels=self.pixels.pin_memory())


@dataclass(frozen=True)
class ImageBatch:
    """Network input: normalized ``pixels`` (B, 3, H, W), float32.

    ``proposals`` are precomputed boxes (K, 4) per image in input pixels; empty without them.
    """

    pixels: Tensor
    infos: tuple[ImageInfo, ...]
    proposals: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.infos)
