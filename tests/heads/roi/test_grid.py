from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from detzoo.config import ConfigError
from detzoo.heads.roi.classifier import RegionClassifierConfig
from detzoo.heads.roi.grid import jittered
from detzoo.heads.roi.grid_head import GridHead, GridHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.postprocess.select import Select
from detzoo.structures import ImageInfo

BOXES = torch.tensor([[10.0, 20, 50, 60], [30, 10, 70, 90], [5, 5, 6, 30]])
WANTED = torch.tensor([[12.0, 18, 53, 66], [28, 13, 66, 80], [5, 5, 6, 30]])


def head(grid_size: int = 3) -> GridHead:
    torch.manual_seed(0)
    channels = 4 * grid_size**2
    config = GridHeadConfig(
        grid_size=grid_size,
        num_convs=2,
        point_channels=4,
        norm=GroupNormConfig(groups=channels // 4),
    )
    return config.build(8, 14)


def slow_targets(box: list[float], wanted: list[float]) -> Tensor:
    """Nine maps of the doubled box, then the windows of the points."""
    width, height = 2 * (box[2] - box[0]), 2 * (box[3] - box[1])
    left, top = box[0] - width / 4, box[1] - height / 4
    out = torch.zeros(9, 28, 28)
    for number in range(9):
        column, row = divmod(number, 3)
        whole = torch.zeros(56, 56)
        x = int((wanted[0] + column / 2 * (wanted[2] - wanted[0]) - left) / width * 56)
        y = int((wanted[1] + row / 2 * (wanted[3] - wanted[1]) - top) / height * 56)
        for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            if 0 <= x + dx < 56 and 0 <= y + dy < 56:
                whole[y + dy, x + dx] = 1
        x0, y0 = (0, 14, 28)[column], (0, 14, 28)[row]
        if min(width, height) > 3:
            out[number] = whole[y0 : y0 + 28, x0 : x0 + 28]
    return out


def test_targets_equal_the_loop() -> None:
    found = head().targets(BOXES, WANTED)
    for number in range(3):
        wanted = slow_targets(BOXES[number].tolist(), WANTED[number].tolist())
        assert torch.equal(found[number], wanted)
    assert found[0].sum() == 9 * 5
    assert found[2].sum() == 0  # a box as narrow as its points


@pytest.mark.parametrize("grid_size", [2, 3, 4])
def test_boxes_are_where_the_points_are(grid_size: int) -> None:
    model = head(grid_size)
    heatmaps = model.targets(BOXES[:2], WANTED[:2]) * 20 - 10
    # The middle of each cross is surest.
    heatmaps = torch.nn.functional.avg_pool2d(heatmaps, 3, stride=1, padding=1)
    found = model.boxes(heatmaps, BOXES[:2])
    cell = 2 * (BOXES[:2, 2:] - BOXES[:2, :2]) / 56
    assert ((found - WANTED[:2]).abs() <= cell.repeat(1, 2)).all()


def test_sides_are_weighted_by_the_scores_of_their_points() -> None:
    model = head()
    heatmaps = torch.full((1, 9, 28, 28), -20.0)
    for number in range(9):
        heatmaps[0, number, 10, 4 + number % 3] = 0.0
    heatmaps[0, 1, 10, 5] = 20.0
    (x1, *_), box = model.boxes(heatmaps, BOXES[:1])[0].tolist(), BOXES[0].tolist()
    # The left side's points lie in columns 4, 5 and 6, with scores 0.5, 1 and 0.5.
    columns = (0.5 * 4.5 + 1 * 5.5 + 0.5 * 6.5) / 2
    assert x1 == pytest.approx(box[0] - 20 + columns / 28 * 40, rel=1e-5)


def test_points_listen_to_their_neighbors_only() -> None:
    model = head()
    assert model.neighbors[0] == [1, 3]
    assert model.neighbors[4] == [1, 3, 5, 7]
    assert model.neighbors[8] == [5, 7]
    x = torch.randn(2, 8, 14, 14)
    fused, own = model(x)
    assert fused.shape == own.shape == (2, 9, 28, 28)
    for layers in (*model.forder_trans, *model.sorder_trans):
        for layer in layers:
            torch.nn.init.zeros_(layer[1].weight)
            torch.nn.init.zeros_(layer[1].bias)
    fused, own = model(x)
    torch.testing.assert_close(fused, own)


def test_loss_of_no_regions() -> None:
    model = head()
    none = torch.zeros(0, 4)
    loss = model.loss(model(torch.zeros(0, 8, 14, 14)), none, none)["loss_grid"]
    assert loss == 0
    loss.backward()
    assert model.deconv1.weight.grad is not None


def test_regions_are_jittered_within_the_image() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([[10.0, 20, 50, 60], [0.0, 0, 100, 80]]).repeat(200, 1)
    found = jittered(boxes, 0.15, (80, 100))
    assert (found >= 0).all()
    assert (found[:, 2] <= 99).all()
    assert (found[:, 3] <= 79).all()
    first = found[::2]
    centre, side = (first[:, 0] + first[:, 2]) / 2, first[:, 2] - first[:, 0]
    assert (centre - 30).abs().max() <= 6.001
    assert (centre - 30).abs().max() > 4
    assert (side - 40).abs().max() <= 6.001
    assert torch.equal(jittered(boxes[:1], 0.0, (80, 100)), boxes[:1])


def test_a_classifier_leaves_regions_where_they_are() -> None:
    model = RegionClassifierConfig(fc_channels=8).build(4, 7, 3)
    logits, code = model(torch.randn(2, 4, 7, 7))
    assert code.shape == (2, 0)
    scores = torch.tensor([[0.7, 0.2, 0.05, 0.05], [0.1, 0.1, 0.2, 0.6]]).log()
    pairs = Select(min_score=0.15).pairs(model.loss_cls.scores(scores))
    found = model.decode(pairs, code, BOXES[:2], ImageInfo.of((100, 100)))
    assert found.labels.tolist() == [0, 1, 2]
    assert torch.equal(found.boxes, BOXES[[0, 0, 1]])
    assert torch.equal(model.refine(logits, code, BOXES, None, ImageInfo.of((9, 9))), BOXES)
    losses = model.loss(scores, code, BOXES[:2], torch.tensor([0, 3]), WANTED[:2])
    assert losses.metrics["acc"] == 100
    assert "loss_bbox" not in losses


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=re.escape("grid_size: 1 is not at least 2")):
        GridHeadConfig(grid_size=1)
