from __future__ import annotations

import torch

from detzoo.priors.points import PointGrid
from detzoo.structures import Priors

CPU = torch.device("cpu")


def place(points: PointGrid) -> Priors:
    return points.place(((2, 3), (1, 2)), (8, 16), CPU)


def test_middles_of_cells() -> None:
    priors = place(PointGrid())
    x = [4, 12, 20, 4, 12, 20, 8, 24]
    y = [4, 4, 4, 12, 12, 12, 8, 8]
    assert priors.boxes.tolist() == [[a, b, a, b] for a, b in zip(x, y)]
    assert priors.stride.tolist() == [8.0] * 6 + [16.0] * 2
    assert priors.level.tolist() == [0] * 6 + [1] * 2
    assert priors.level_sizes == (6, 2)


def test_corners_and_squares() -> None:
    assert place(PointGrid(offset=0.0)).boxes[4].tolist() == [8, 8, 8, 8]
    assert place(PointGrid(size=2.0)).boxes[[0, 6]].tolist() == [[-4, -4, 12, 12], [-8, -8, 24, 24]]


def test_what_inference_places_serves_training() -> None:
    with torch.inference_mode():
        priors = PointGrid(size=3.0).place(((5, 5),), (4,), CPU)
        level = priors.level
    for kept in (priors.boxes, priors.stride, level):
        assert not kept.is_inference()
