"""How far two detectors are apart, by what they find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from detzoo.export.verify import compare, panoptic_gap
from detzoo.inference.result import Result
from detzoo.structures import BitmapMasks, Detections, PanopticMap

BOXES = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [0.0, 20.0, 10.0, 30.0]])
IMAGE = np.zeros((40, 40, 3), np.uint8)


class Finding:
    """Finds these, in every image."""

    model = None

    def __init__(
        self, scores: Sequence[float], boxes: torch.Tensor = BOXES, masks: Any = None
    ) -> None:
        count = len(scores)
        labels = torch.zeros(count, dtype=torch.int64)
        bitmaps = None if masks is None else BitmapMasks(masks[:count])
        self.found = Detections(boxes[:count], torch.tensor(scores), labels, bitmaps)

    def predict(
        self, images: Sequence[np.ndarray], min_score: float, batch_size: int = 1
    ) -> Iterator[Result]:
        for image in images:
            kept = self.found[self.found.scores >= min_score]
            yield Result(kept, ("cat",), image)


def apart(one: Any, other: Any) -> Any:
    return compare(one, other, [IMAGE], min_score=0.05)


def test_the_worst_of_each() -> None:
    moved = BOXES + torch.tensor([[0.0], [0.25], [0.0]])
    found = apart(Finding([0.9, 0.5, 0.3]), Finding([0.9, 0.5, 0.304], moved))
    assert found.compared == 6  # both ways
    assert found.score == pytest.approx(0.004, abs=1e-6)
    assert found.box == pytest.approx(0.25)
    assert found.unmatched == 0
    assert found.near_share == pytest.approx(4 / 6)  # the IoU of the moved one is 0.91
    assert not found.is_rounding(by_masks=False)
    assert apart(Finding([0.9]), Finding([0.9])).is_rounding(by_masks=False)


def test_one_of_many_may_differ() -> None:
    """Of equal scores, rounding decides."""
    corners = 20.0 * torch.arange(400)[:, None].expand(-1, 2)
    boxes = torch.cat([corners, corners + 10], 1)
    scores = torch.linspace(0.9, 0.3, 400).tolist()
    for moved, is_rounding in ((2, True), (3, False)):
        others = boxes.clone()
        others[:moved] += 3.0
        found = apart(Finding(scores, boxes), Finding(scores, others))
        assert found.unmatched == 0
        assert found.box == pytest.approx(3.0, abs=1e-3)
        assert found.is_rounding(by_masks=False) == is_rounding


def test_only_equal_scores_excuse_a_difference() -> None:
    corners = 20.0 * torch.arange(400)[:, None].expand(-1, 2)
    boxes = torch.cat([corners, corners + 10], 1)
    scores = torch.linspace(0.9, 0.3, 400).tolist()
    others = [scores[0] - 0.002, *scores[1:]]
    assert not apart(Finding(scores, boxes), Finding(others, boxes)).is_rounding(by_masks=False)
    moved = boxes.clone()
    moved[0] += 9.0  # another place
    assert not apart(Finding(scores, boxes), Finding(scores, moved)).is_rounding(by_masks=False)


def test_boxes_without_area() -> None:
    found = apart(Finding([0.9], torch.zeros((1, 4))), Finding([0.9], torch.zeros((1, 4))))
    assert found.near_share == 1.0


def test_masks() -> None:
    masks = torch.zeros((1, 40, 40), dtype=torch.uint8)
    masks[0, :10, :10] = 1
    others = masks.clone()
    others[0, 0, :8] = 0
    found = apart(Finding([0.9], masks=masks), Finding([0.9], masks=others))
    assert found.mask == pytest.approx(0.08)
    assert not found.is_rounding(by_masks=True)


def test_what_is_missing() -> None:
    """Fewer of one kind count, unless a full list has room for others alone."""
    assert apart(Finding([0.9, 0.5, 0.3]), Finding([0.9, 0.5])).unmatched == 1
    moved = BOXES + torch.tensor([[0.0], [0.0], [100.0]])
    assert apart(Finding([0.9, 0.5, 0.3]), Finding([0.9, 0.5, 0.301], moved)).unmatched == 0
    assert apart(Finding([0.9, 0.5, 0.4]), Finding([0.9, 0.5, 0.3], moved)).unmatched > 0


def test_what_is_not_a_number_is_not_near() -> None:
    """Boxes of both that lie at infinity are no proof of anything."""
    boxes = torch.full((1, 4), torch.inf)
    found = apart(Finding([0.9], boxes), Finding([0.9], boxes))
    assert found.score == 0
    assert np.isnan(found.box)
    assert found.near_share == 0
    assert not found.is_rounding(by_masks=False)


def segments(ids: str, *labels: int) -> PanopticMap:
    """One row of pixels; 0 is void."""
    pixels = torch.tensor([[int(digit) for digit in ids]], dtype=torch.int32)
    count = len(labels)
    return PanopticMap(pixels, torch.tensor(labels), torch.zeros(count) > 0, torch.ones(count))


def test_pixels_in_other_segments() -> None:
    one = segments("0011122222", 4, 7)
    assert panoptic_gap(one, one) == 0
    assert panoptic_gap(one, segments("0022211111", 7, 4)) == 0  # in another order
    assert panoptic_gap(one, segments("0011112222", 4, 7)) == pytest.approx(0.1)
    assert panoptic_gap(one, segments("0011122222", 4, 8)) == pytest.approx(0.5)
    assert panoptic_gap(one, segments("0011122233", 4, 7, 7)) == pytest.approx(0.2)
    assert panoptic_gap(one, segments("0011100000", 4)) == pytest.approx(0.5)
    assert panoptic_gap(one, segments("0000000000")) == pytest.approx(0.8)
