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
        """Priors per cell of the finest level; except in SSD, the same on all levels."""

    @abstractmethod
    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """The priors of levels with ``grids`` (height, width), ordered by level, row and column."""
