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
    def num_per_cell(self) -> int: ...

    @abstractmethod
    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """Priors of all levels of ``grids`` (height, width), ordered by level, row, column."""
