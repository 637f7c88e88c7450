"""What every layout of priors is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from detzoo.config import config
from detzoo.structures import Priors

Grids = tuple[tuple[int, int], ...]


@config
class PriorGrid(ABC):
    """Where the priors of each level lie."""

    @property
    @abstractmethod
    def num_per_cell(self) -> int:
        """Priors in a cell of the finest level, and of every other one but in SSD."""

    @abstractmethod
    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """Priors of all levels of ``grids`` (height, width), ordered by level, row, column."""
