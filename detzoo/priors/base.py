"""Base class of prior grids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from detzoo.config import config
from detzoo.structures import Priors

Grids = tuple[tuple[int, int], ...]


@config
class PriorGrid(ABC):
    """Places the priors (anchors or points) of each level."""

    @property
    @abstractmethod
    def num_per_cell(self) -> int:
        """The number of priors per cell of the finest level; the same on all levels but in SSD."""

    @abstractmethod
    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """Places the priors of ``grids`` (height, width), ordered by level, row and column."""
