"""Positional encodings, and masks of valid (not padded) cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detzoo.config import PositiveFloat, PositiveInt, config
from detzoo.errors import ConfigError
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
        counts = torch.tensor([grid]).to(device, non_blocking=True)
        return cls(counts, grid, complete=True)

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

    def build(self, channels: int) -> SineEncoding:
        return SineEncoding(self, channels)

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


class SineEncoding(nn.Module):
    """:class:`SinePositions` in ``channels``, as a module without parameters."""

    def __init__(self, config: SinePositions, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels

    def forward(self, valid: ValidCells) -> Tensor:
        """Returns (B, H * W, channels)."""
        return self.config(valid, self.channels)


@config
class LearnedPositions:
    """A learned vector for each row, and one for each column, as in the first models of DETR.

    Args:
        rows: Number of rows that the largest map may have.
        columns: Number of columns that the largest map may have.
    """

    rows: PositiveInt = 50
    columns: PositiveInt = 50

    def build(self, channels: int) -> LearnedEncoding:
        return LearnedEncoding(self, channels)


class LearnedEncoding(nn.Module):
    """Children ``row_embed`` and ``col_embed``, each with half of the channels."""

    def __init__(self, config: LearnedPositions, channels: int) -> None:
        super().__init__()
        # V2 means to draw them between 0 and 1, but its heads do not initialize this part.
        self.row_embed = nn.Embedding(config.rows, channels // 2)
        self.col_embed = nn.Embedding(config.columns, channels // 2)

    def forward(self, valid: ValidCells) -> Tensor:
        """Returns (1, H * W, channels). Raises :class:`ConfigError` for a map that is too large."""
        height, width = valid.grid
        rows, columns = self.row_embed.weight, self.col_embed.weight
        if height > len(rows) or width > len(columns):
            raise ConfigError(
                f"positions: a map has {height} x {width} cells (rows x columns), and encodings "
                f"are learned for {len(rows)} x {len(columns)}. Give smaller images or, to train, "
                "more rows and columns."
            )
        expanded = (
            columns[:width].expand(height, -1, -1),
            rows[:height, None].expand(-1, width, -1),
        )
        return torch.cat(expanded, 2).flatten(0, 1)[None]


def sines(coordinates: Tensor, channels: int, temperature: float = 10000.0) -> Tensor:
    """Encodes coordinates (...) in [0, 1] -> (..., channels): sines and cosines of decreasing
    frequency.
    """
    exponents = torch.arange(channels // 2, device=coordinates.device) * (2 / channels)
    angles = 2 * math.pi * coordinates[..., None] / temperature**exponents
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
