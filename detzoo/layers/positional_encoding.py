"""Sinusoidal positional encodings, and masks of valid (not padded) cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.config import PositiveFloat, config
from detzoo.ops.constants import constant
from detzoo.structures import ImageInfo, sizes_of


@dataclass(frozen=True)
class ValidCells:
    """The valid (not padded) cells of each image in a map of size ``grid`` (height, width).

    They are the first ``counts`` (B, 2: rows, columns). ``complete`` if no image is padded.
    """

    counts: Tensor
    grid: tuple[int, int]
    complete: bool

    @classmethod
    def of(
        cls,
        infos: Sequence[ImageInfo],
        input_size: tuple[int, int],
        grid: tuple[int, int],
        device: torch.device,
    ) -> ValidCells:
        """Creates the mask for a map of size ``grid`` over a batch of ``input_size`` (height,
        width).
        """
        sizes = sizes_of(infos)
        counts = torch.stack([_count(sizes[:, k], input_size[k], grid[k]) for k in (0, 1)], 1)
        # Nothing is assumed about sizes that are tensors.
        known = not isinstance(infos[0].size[0], Tensor)
        complete = known and bool((counts.numpy() == grid).all())
        return cls(counts.to(device, non_blocking=True), grid, complete)

    @classmethod
    def all_of(cls, grid: tuple[int, int], device: torch.device) -> ValidCells:
        """All cells of a map of size ``grid``, for every image alike (B = 1)."""
        return cls(torch.tensor([grid], device=device), grid, complete=True)

    def mask(self) -> Tensor:
        """The mask of valid cells (B, H * W), bool."""
        rows, columns = (
            torch.arange(cells, device=self.counts.device) < self.counts[:, axis, None]
            for axis, cells in enumerate(self.grid)
        )
        return (rows[:, :, None] & columns[:, None]).flatten(1)

    @property
    def ratios(self) -> Tensor:
        """The valid fraction of the map: (B, 2: width, height)."""
        height, width = self.grid
        return self.counts.flip(1) / constant((width, height), self.counts.device)


def _count(pixels: Tensor, of: int, cells: int) -> Tensor:
    """The number of ``cells`` over ``of`` pixels that start in the first ``pixels`` (B,): (B,)."""
    first = (torch.arange(cells, dtype=torch.float32, device=pixels.device) * (of / cells)).floor()
    return (first < pixels[:, None]).sum(1)


@config
class SinePositions:
    """Encodes a cell's row and column as sines and cosines (https://arxiv.org/abs/1706.03762).

    Rows and columns are counted from 1 and normalized by the number of valid ones.

    Args:
        temperature: Ratio between the lowest and highest frequency.
        offset: Added to rows and columns before normalization.
    """

    temperature: PositiveFloat = 10000.0
    offset: float = 0.0

    def __call__(self, valid: ValidCells, channels: int) -> Tensor:
        """Returns (B, H * W, channels); half the channels encode the row, half the column."""
        height, width = valid.grid
        parts = []
        for axis, cells in enumerate(valid.grid):
            number = torch.arange(1, cells + 1, device=valid.counts.device) + self.offset
            place = number / (valid.counts[:, axis, None] + 1e-6)  # (B, cells)
            parts.append(sines(place, channels // 2, self.temperature))
        rows, columns = parts
        expanded = (rows[:, :, None].expand(-1, -1, width, -1), columns[:, None])
        return torch.cat([expanded[0], expanded[1].expand(-1, height, -1, -1)], 3).flatten(1, 2)


def sines(coordinates: Tensor, channels: int, temperature: float = 10000.0) -> Tensor:
    """Encodes coordinates (...) in [0, 1] -> (..., channels): sines and cosines of decreasing
    frequency.
    """
    exponents = torch.arange(channels // 2, device=coordinates.device) * (2 / channels)
    angles = 2 * math.pi * coordinates[..., None] / temperature**exponents
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
