from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from detzoo.errors import ConfigError
from detzoo.heads.heatmap.centernet import CenterNetHeadConfig
from detzoo.heads.heatmap.centripetal import CentripetalHeadConfig
from detzoo.heads.heatmap.corner import CornerHeadConfig, embedding_losses
from detzoo.heads.heatmap.keypoints import (
    draw_gaussians,
    find_peaks,
    gather_cells,
    gaussian_radius,
    scatter_cells,
)
from detzoo.losses.heatmap import GaussianFocalLoss
from tests.ops import reference


@pytest.mark.parametrize("size", [(10.0, 10.0), (40.0, 12.0), (3.0, 90.0)])
def test_a_box_within_the_radius_overlaps_enough(size: tuple[float, float]) -> None:
    width, height = size
    r = gaussian_radius(torch.tensor([size])).item()
    whole = [0.0, 0.0, width, height]
    inside, outside = [r, r, width - r, height - r], [-r, -r, width + r, height + r]
    both = [r, r, width + r, height + r]
    for box in (inside, outside, both):
        assert reference.iou(box, whole) >= 0.3 - 1e-6
    # Half a box more, and one of them would not.
    r = r + 1
    inside = [r, r, max(width - r, r), max(height - r, r)]
    assert min(reference.iou(box, whole) for box in (inside, [r, r, width + r, height + r])) < 0.3


def slow_bumps(cells: list, radii: list, labels: list, classes: int, size: tuple) -> torch.Tensor:
    maps = torch.zeros((classes, *size))
    for (x, y), radius, label in zip(cells, radii, labels):
        sigma = (2 * radius + 1) / 6
        for row in range(size[0]):
            for column in range(size[1]):
                if abs(row - y) <= radius and abs(column - x) <= radius:
                    distance = (row - y) ** 2 + (column - x) ** 2
                    value = math.exp(-distance / (2 * sigma**2))
                    maps[label, row, column] = max(maps[label, row, column].item(), value)
    return maps


def test_bumps_equal_the_loop() -> None:
    cells, radii, labels = [(3, 2), (5, 3), (0, 7), (9, 0)], [2, 3, 1, 0], [0, 0, 2, 1]
    maps = draw_gaussians(
        torch.tensor(cells), torch.tensor(radii).float(), torch.tensor(labels), 3, (8, 10)
    )
    torch.testing.assert_close(maps, slow_bumps(cells, radii, labels, 3, (8, 10)))
    assert (maps == 1).sum() == 4
    none = torch.zeros((0, 2)).long()
    assert (draw_gaussians(none, torch.zeros(0), none[:, 0], 3, (8, 10)) == 0).all()


def test_the_last_object_has_a_shared_cell() -> None:
    cells = torch.tensor([[1, 0], [2, 1], [1, 0]])
    values = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    maps, mask = scatter_cells(cells, values, (2, 3))
    assert maps.tolist() == [[[0, 3, 0], [0, 0, 2]], [[0, 30, 0], [0, 0, 20]]]
    assert mask.tolist() == [[False, True, False], [False, False, True]]
    maps, mask = scatter_cells(cells[:0], values[:0], (2, 3))
    assert maps.shape == (2, 2, 3)
    assert not mask.any()


def test_peaks() -> None:
    heat = torch.zeros(2, 4, 5)
    heat[0, 1, 1], heat[0, 1, 2] = 0.9, 0.8  # the second is beside a higher one
    heat[1, 3, 4] = 0.7
    peaks = find_peaks(heat, 2, 3)
    assert peaks.scores.tolist() == pytest.approx([0.9, 0.7])
    assert peaks.labels.tolist() == [0, 1]
    assert peaks.position.tolist() == [[1, 1], [4, 3]]
    maps = torch.arange(40.0).view(2, 4, 5)
    assert gather_cells(maps, peaks.cells).tolist() == [[6, 26], [19, 39]]
    assert len(find_peaks(heat[:1, :1], 100, 3).scores) == 5


@pytest.mark.parametrize("config", [CenterNetHeadConfig, CornerHeadConfig, CentripetalHeadConfig])
def test_windows_have_a_center(config: Any) -> None:
    with pytest.raises(ConfigError, match="window: 2 is not odd"):
        config(window=2)


def test_loss_of_heatmaps() -> None:
    loss = GaussianFocalLoss()
    logits, target = torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 0.5, 0.0]]]])
    # With p = 1/2: ln 2 / 4 for the keypoint and for the cell far off, less between them.
    wanted = math.log(2) / 4 * (1 + 0.5**4 + 1)
    assert loss(logits, target).item() == pytest.approx(wanted, rel=1e-5)
    assert loss(logits, torch.zeros_like(target)).item() == pytest.approx(math.log(2) * 3 / 4)


def test_losses_of_tags() -> None:
    first, second = torch.tensor([1.0, 3.0, 3.2]), torch.tensor([2.0, 3.0, 3.2])
    pull, push = embedding_losses(first, second)
    assert pull.item() == pytest.approx((0.25 + 0.25) / 3)
    # Means 1.5, 3.0 and 3.2: only the last two are closer than one, each seen from the other.
    assert push.item() == pytest.approx(2 * 0.8 / 6, rel=1e-5)
    for count in (0, 1):
        pull, push = embedding_losses(first[:count], second[:count])
        assert pull.isfinite()
        assert push.item() == 0
