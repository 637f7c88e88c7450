from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.priors.anchors import AnchorGrid, inside_image, octave_scales
from detzoo.structures import ImageInfo, Priors

CPU = torch.device("cpu")


def test_base_anchors_by_hand() -> None:
    anchors = AnchorGrid(scales=(8.0,), ratios=(0.25, 1.0, 4.0)).base_anchors(4)
    # Area 32 x 32; the ratio is height over width.
    wanted = [[-32, -8, 32, 8], [-16, -16, 16, 16], [-8, -32, 8, 32]]
    assert anchors.tolist() == wanted


def test_ratios_come_before_scales() -> None:
    grid = AnchorGrid(scales=(1.0, 2.0), ratios=(1.0, 4.0))
    assert grid.num_per_cell == 4
    wanted = [[-2, -2, 2, 2], [-4, -4, 4, 4], [-1, -4, 1, 4], [-2, -8, 2, 8]]
    assert grid.base_anchors(4).tolist() == wanted


def test_octave_scales() -> None:
    assert octave_scales(4.0, 3) == pytest.approx((4.0, 4.0 * 2 ** (1 / 3), 4.0 * 2 ** (2 / 3)))
    assert octave_scales(8.0, 1) == (8.0,)


def test_anchors_by_level_row_and_column() -> None:
    priors = AnchorGrid(scales=(1.0,), ratios=(1.0,)).place(((2, 3), (1, 1)), (4, 8), CPU)
    corners = [(0, 0), (4, 0), (8, 0), (0, 4), (4, 4), (8, 4)]
    fine = [[x - 2, y - 2, x + 2, y + 2] for x, y in corners]
    assert priors.boxes.tolist() == [*fine, [-4, -4, 4, 4]]
    assert priors.stride.tolist() == [4] * 6 + [8]
    assert priors.level.tolist() == [0] * 6 + [1]
    assert priors.level_sizes == (6, 1)
    assert priors.grids == ((2, 3), (1, 1))
    assert len(priors) == 7


def test_placing_again_is_free() -> None:
    anchors = AnchorGrid()
    assert anchors.place(((2, 2),), (4,), CPU) is AnchorGrid().place(((2, 2),), (4,), CPU)


@pytest.mark.parametrize("scales", [(8.0,), octave_scales(4.0, 3), (2.0, 32.0)])
@pytest.mark.parametrize("size", [(800, 1088), (33, 65), (64, 256), (128, 32)])
def test_cells_beyond_the_image_are_left_out(
    scales: tuple[float, ...], size: tuple[int, int]
) -> None:
    """Also where rounding moves the center of an anchor across the border."""
    anchors, strides = AnchorGrid(scales=scales), (8, 16, 32, 64, 128)
    grids = tuple((math.ceil(1400 / s), math.ceil(1400 / s)) for s in strides)
    priors = anchors.place(grids, strides, CPU)
    wanted = []
    for (rows, columns), stride in zip(grids, strides):
        inside = torch.zeros((rows, columns, anchors.num_per_cell), dtype=torch.bool)
        inside[: math.ceil(size[0] / stride), : math.ceil(size[1] / stride)] = True
        wanted.append(inside.flatten())
    info = dataclasses.replace(ImageInfo.of((20, 20)), padded_size=size)
    assert torch.equal(inside_image(priors, info, border=None), torch.cat(wanted))


def test_border() -> None:
    boxes = torch.tensor(
        [[0.0, 0, 19, 9], [-0.5, 0, 8, 8], [2, 2, 20, 8], [-3, 2, 22, 8], [4, 2, 8, 14]]
    )
    priors = Priors(boxes, torch.ones(5), (5,), ((1, 5),))
    info = ImageInfo.of((10, 20))
    assert inside_image(priors, info, border=None).tolist() == [True] * 5
    # The right and the bottom border are themselves outside.
    assert inside_image(priors, info, border=0.0).tolist() == [True, False, False, False, False]
    assert inside_image(priors, info, border=3.0).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scales": ()}, "scales: () does not have at least 1 element"),
        ({"ratios": (1.0, 0.0)}, "ratios[1]: 0.0 is not greater than 0"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        AnchorGrid(**fields)
