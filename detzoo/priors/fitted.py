"""Anchors that divide an image of one size evenly (YOLACT, https://arxiv.org/abs/1904.02689)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detzoo.config import ConfigError, NonEmpty, PositiveInt, UnitFloat, config
from detzoo.ops.constants import made_once
from detzoo.priors.anchors import AnchorGrid, place_in_cells
from detzoo.priors.base import Grids
from detzoo.structures import Priors


@config
class FittedAnchorGrid(AnchorGrid):
    """Anchors in cells that fill an image of one size exactly.

    For example, 69 cells in 550 pixels are 7.97 pixels apart, not 8. Anchor sizes are in strides.

    Args:
        image_size: Side of the image in pixels.
        cells: Cells per side, for each level.
    """

    center: UnitFloat = 0.5
    image_size: PositiveInt = 550
    cells: NonEmpty[PositiveInt] = (69, 35, 18, 9, 5)

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        if len(grids) != len(self.cells):
            raise ConfigError(f"cells: {len(self.cells)} values for {len(grids)} maps")
        return _place(self, grids, tuple(strides), device)


@made_once
def _place(
    anchors: FittedAnchorGrid, grids: Grids, strides: tuple[int, ...], device: torch.device
) -> Priors:
    bases = [anchors.base_anchors(stride) for stride in strides]
    spacings = [anchors.image_size / cells for cells in anchors.cells]
    return place_in_cells(bases, grids, spacings, anchors.cell_offset, device)
