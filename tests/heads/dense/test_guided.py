from __future__ import annotations

import math

import pytest
import torch

from detzoo.heads.dense.guided_locations import location_targets
from detzoo.heads.dense.guided_retina import GuidedRetinaHead, GuidedRetinaHeadConfig
from detzoo.structures import ImageInfo

GRIDS, STRIDES = ((16, 24), (8, 12), (4, 6)), (4, 8, 16)
SETTINGS = {"anchor_size": 32.0, "center_ratio": 0.2, "ignore_ratio": 0.5}


def slow_targets(boxes: torch.Tensor) -> tuple[list[list[list[int]]], list[list[list[float]]]]:
    """Region after region, target after target."""
    center = [[[0] * w for _ in range(h)] for h, w in GRIDS]
    weight = [[[-1.0] * w for _ in range(h)] for h, w in GRIDS]
    near = [[[0] * w for _ in range(h)] for h, w in GRIDS]

    def cells(box: list[float], level: int, ratio: float) -> list[tuple[int, int]]:
        margin = (1 - ratio) / 2
        x1, y1, x2, y2 = (value / STRIDES[level] for value in box)
        height, width = GRIDS[level]
        left, right = (1 - margin) * x1 + margin * x2, margin * x1 + (1 - margin) * x2
        top, bottom = (1 - margin) * y1 + margin * y2, margin * y1 + (1 - margin) * y2
        return [
            (y, x)
            for y in range(height)
            for x in range(width)
            if max(round(left), 0) <= x <= max(round(right), 0)
            and max(round(top), 0) <= y <= max(round(bottom), 0)
        ]

    for box in boxes.tolist():
        scale = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
        level = min(max(math.floor(math.log2(scale / 32) + 0.5), 0), 2)
        for y, x in cells(box, level, 0.5):
            weight[level][y][x] = 0.0
        for y, x in cells(box, level, 0.2):
            weight[level][y][x] = 1.0
            center[level][y][x] = 1
        for other in (level - 1, level + 1):
            if 0 <= other < 3:
                for y, x in cells(box, other, 0.5):
                    near[other][y][x] = 1
    for level, (height, width) in enumerate(GRIDS):
        for y in range(height):
            for x in range(width):
                if weight[level][y][x] < 0:
                    weight[level][y][x] = 0.0 if near[level][y][x] else 0.1
    return center, weight


@pytest.mark.parametrize(
    "boxes",
    [
        [[10.0, 8.0, 44.0, 40.0]],
        [[10.0, 8.0, 44.0, 40.0], [16.0, 12.0, 48.0, 46.0]],  # the second decides around it
        [[-20.0, -10.0, 30.0, 20.0], [60.0, 40.0, 120.0, 90.0], [0.0, 0.0, 96.0, 64.0]],
        [[30.3, 30.3, 30.9, 31.2]],
    ],
)
def test_location_targets_equal_the_loop(boxes: list[list[float]]) -> None:
    given = torch.tensor(boxes)
    is_center, weights = location_targets(given, GRIDS, STRIDES, **SETTINGS)
    center, weight = slow_targets(given)
    flat = [value for level in center for row in level for value in row]
    assert is_center.long().tolist() == flat
    assert weights.tolist() == pytest.approx([v for level in weight for row in level for v in row])
    assert is_center.any()


def test_locations_of_no_targets() -> None:
    is_center, weights = location_targets(torch.zeros(0, 4), GRIDS, STRIDES, **SETTINGS)
    assert not is_center.any()
    assert (weights == 0.1).all()


def head() -> GuidedRetinaHead:
    torch.manual_seed(0)
    config = GuidedRetinaHeadConfig(num_convs=1, channels=8)
    return config.build((8, 8), (8, 16), 3)


def test_anchors_have_the_predicted_sides() -> None:
    model = head()
    torch.nn.init.zeros_(model.conv_shape.weight)
    assert model.conv_shape.bias is not None
    model.conv_shape.bias.data = torch.tensor([0.5, -1.0])
    predictions = model([torch.randn(2, 8, 4, 4), torch.randn(2, 8, 2, 2)])
    anchors = model.anchors(predictions)
    squares = predictions.priors.boxes
    assert anchors.shape == (2, 20, 4)
    side = squares[:, 2] - squares[:, 0]
    torch.testing.assert_close(anchors[1, :, 2] - anchors[1, :, 0], side * math.exp(0.5))
    torch.testing.assert_close(anchors[1, :, 3] - anchors[1, :, 1], side * math.exp(-1.0))
    center = squares[:, :2] + squares[:, 2:]
    torch.testing.assert_close(anchors[0, :, :2] + anchors[0, :, 2:], center, atol=1e-4, rtol=0)


def test_features_adapt_to_shapes_without_teaching_them() -> None:
    model = head()
    x = [torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)]
    predictions = model(x)
    (predictions.cls_logits.sum() + predictions.box_deltas.sum()).backward()
    assert model.conv_shape.weight.grad is None
    assert model.feature_adaption_cls.conv_offset.weight.grad is not None


def test_cells_that_do_not_count_give_no_detections() -> None:
    model = head().eval()
    torch.nn.init.zeros_(model.conv_loc.weight)
    assert model.retina_cls.bias is not None
    torch.nn.init.constant_(model.retina_cls.bias, 2.0)
    infos = [ImageInfo.of((32, 32))]
    x = [torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)]
    counts = []
    for bias in (0.0, -10.0):
        assert model.conv_loc.bias is not None
        model.conv_loc.bias.data.fill_(bias)
        with torch.no_grad():
            counts.append(len(model.decode(model(x), infos)[0]))
    assert counts == [20 * 3, 0]
