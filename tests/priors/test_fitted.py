from __future__ import annotations

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.fitted import FittedAnchorGrid

CPU = torch.device("cpu")


def test_cells_fill_the_image() -> None:
    """Seven cells of 50 pixels, whose anchors are still as large as the nominal strides say."""
    grid = FittedAnchorGrid(scales=(2.0,), ratios=(1.0,), image_size=50, cells=(7, 4))
    priors = grid.place(((7, 7), (4, 4)), (8, 16), CPU)
    assert priors.level_sizes == (49, 16)
    first, last = priors.boxes[0], priors.boxes[48]
    torch.testing.assert_close(first, torch.tensor([-8.0, -8, 8, 8]) + 50 / 7 / 2)
    torch.testing.assert_close(last, torch.tensor([-8.0, -8, 8, 8]) + 50 - 50 / 7 / 2)
    torch.testing.assert_close(priors.boxes[49], torch.tensor([-16.0, -16, 16, 16]) + 6.25)
    with pytest.raises(ConfigError, match="2 values for 1 maps"):
        grid.place(((7, 7),), (8,), CPU)


def test_anchors_at_the_centers_of_cells() -> None:
    grid = AnchorGrid(scales=(1.0,), ratios=(1.0,), center=0.5)
    priors = grid.place(((1, 2),), (8,), CPU)
    assert priors.boxes.tolist() == [[0, 0, 8, 8], [8, 0, 16, 8]]
