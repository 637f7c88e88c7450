"""Places as sines and cosines, and which cells of a map show the image at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detzoo.config import config
from detzoo.structures import ImageInfo


@dataclass(frozen=True)
class ShownCells:
    """The cells of a map of ``grid`` (height, width) that show each image and not its padding.

    They are the first ``counts`` (B, 2: rows, columns). ``complete`` where nothing is padded.
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
    ) -> ShownCells:
        """For a map of ``grid`` over a batch of ``input_size`` (height, width) pixels."""
        counts = [
            [_count(size, of, cells) for size, of, cells in zip(info.size, input_size, grid)]
            for info in infos
        ]
        complete = all(tuple(pair) == grid for pair in counts)
        return cls(torch.tensor(counts).to(device, non_blocking=True), grid, complete)

    def mask(self) -> Tensor:
        """(B, H * W) bool."""
        rows, columns = (
            torch.arange(cells, device=self.counts.device) < self.counts[:, axis, None]
            for axis, cells in enumerate(self.grid)
        )
        return (rows[:, :, None] & columns[:, None]).flatten(1)

    @property
    def ratios(self) -> Tensor:
        """(B, 2: width, height) the part of the map that shows the image."""
        height, width = self.grid
        return self.counts.flip(1) / self.counts.new_tensor([width, height], dtype=torch.float32)


def _count(pixels: int, of: int, cells: int) -> int:
    """How many of ``cells`` over ``of`` pixels begin within the first ``pixels``."""
    first = np.floor(np.arange(cells, dtype=np.float32) * np.float32(of / cells))
    return int(np.count_nonzero(first < pixels))


@config
class SinePositions:
    """Sines and cosines of a cell's row and column (https://arxiv.org/abs/1706.03762).

    Rows and columns count from one, plus ``offset``, in parts of those that show the image.
    """

    temperature: float = 10000.0
    offset: float = 0.0

    def __call__(self, shown: ShownCells, channels: int) -> Tensor:
        """(B, H * W, channels): half of the channels for the row, half for the column."""
        height, width = shown.grid
        parts = []
        for axis, cells in enumerate(shown.grid):
            number = torch.arange(1, cells + 1, device=shown.counts.device) + self.offset
            place = number / (shown.counts[:, axis, None] + 1e-6)  # (B, cells)
            parts.append(sines(place, channels // 2, self.temperature))
        rows, columns = parts
        expanded = (rows[:, :, None].expand(-1, -1, width, -1), columns[:, None])
        return torch.cat([expanded[0], expanded[1].expand(-1, height, -1, -1)], 3).flatten(1, 2)


def sines(places: Tensor, channels: int, temperature: float = 10000.0) -> Tensor:
    """Places (...) from 0 to 1 -> (..., channels): sine and cosine at falling frequencies."""
    exponents = torch.arange(channels // 2, device=places.device) * (2 / channels)
    angles = 2 * math.pi * places[..., None] / temperature**exponents
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
