from __future__ import annotations

import torch

from detzoo.priors.legacy import LegacyAnchorGrid, LegacySSDAnchors

CPU = torch.device("cpu")


def test_anchors_in_whole_pixels() -> None:
    """By hand: 22.6 by 11.3 pixels, and 16 by 16, around 7.5, the center of pixels 0 to 15."""
    grid = LegacyAnchorGrid(scales=(1.0,), ratios=(0.5, 1.0))
    assert grid.base_anchors(16).tolist() == [[-3.0, 2.0, 18.0, 13.0], [0.0, 0.0, 15.0, 15.0]]
    placed = grid.place(((1, 2),), (16,), CPU).boxes
    assert placed[2:].tolist() == [[13.0, 2.0, 34.0, 13.0], [16.0, 0.0, 31.0, 15.0]]


def test_default_boxes_in_whole_pixels() -> None:
    anchors = LegacySSDAnchors(sizes=(21.0, 45.0), ratios=((2.0,),), strides=(8,))
    # Around 3.5: 21 wide; the geometric mean of the sizes; 29.7 by 14.8.
    assert anchors.base_anchors(0).tolist() == [
        [-6.0, -6.0, 14.0, 14.0],
        [-11.0, -11.0, 18.0, 18.0],
        [-11.0, -3.0, 18.0, 10.0],
        [-3.0, -11.0, 10.0, 18.0],
    ]
    assert anchors.place(((1, 2),), (8,), CPU).boxes[4].tolist() == [2.0, -6.0, 22.0, 14.0]
