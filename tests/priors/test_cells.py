"""Boxes around the middle of cells: SSD's and YOLO's."""

from __future__ import annotations

import math

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.priors.anchors import inside_image
from detzoo.priors.ssd import SSDAnchors
from detzoo.priors.yolo import YOLOAnchors
from detzoo.structures import ImageInfo

SSD = SSDAnchors(sizes=(20, 45, 80), ratios=((2,), (2, 3)), strides=(10, 30))
CPU = torch.device("cpu")


def test_ssd_boxes_of_a_cell() -> None:
    assert (SSD.num_on(0), SSD.num_on(1), SSD.num_per_cell) == (4, 6, 4)
    small, large, wide, high = SSD.base_anchors(0).tolist()
    assert small == [-10, -10, 10, 10]
    assert large == pytest.approx([-15, -15, 15, 15])  # the root of 20 * 45
    root = math.sqrt(2)
    assert wide == pytest.approx([-10 * root, -10 / root, 10 * root, 10 / root])
    assert high == pytest.approx([-10 / root, -10 * root, 10 / root, 10 * root])


def test_ssd_cells() -> None:
    priors = SSD.place(((2, 3), (1, 1)), (8, 16), CPU)
    assert priors.level_sizes == (2 * 3 * 4, 6)
    centers = (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2
    torch.testing.assert_close(centers[4], torch.tensor([15.0, 5.0]))  # second cell of the row
    torch.testing.assert_close(centers[12], torch.tensor([5.0, 15.0]))  # second row
    torch.testing.assert_close(centers[-1], torch.tensor([15.0, 15.0]))
    assert priors.stride[0] == 10
    assert priors.stride[-1] == 30


def test_cells_inside_an_image() -> None:
    """A cell counts where it begins inside the padded image."""
    priors = SSD.place(((3, 3), (1, 1)), (8, 16), CPU)
    inside = inside_image(priors, ImageInfo.of((30, 20)), None)
    assert inside[: 9 * 4].view(3, 3, 4)[:, :, 0].tolist() == [[True, True, False]] * 3
    assert inside[9 * 4 :].all()


def test_yolo_boxes() -> None:
    anchors = YOLOAnchors(sizes=(((20, 10), (8, 8)), ((4, 2), (2, 4))))
    priors = anchors.place(((1, 2), (2, 4)), (32, 16), CPU)
    assert anchors.num_per_cell == 2
    assert priors.boxes[0].tolist() == [6, 11, 26, 21]  # around (16, 16)
    assert priors.boxes[3].tolist() == [44, 12, 52, 20]  # around (48, 16)
    assert priors.boxes[4].tolist() == [6, 7, 10, 9]  # around (8, 8)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="sizes"):
        SSDAnchors(sizes=(20, 45), ratios=((2,), (2,)), strides=(8, 16))
    with pytest.raises(ConfigError, match="sizes"):
        YOLOAnchors(sizes=(((20, 10),), ((4, 2), (2, 4))))
