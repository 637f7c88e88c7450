"""Fusing things and stuff."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detzoo.postprocess.panoptic import HeuristicFusion, StuffLogits, fuse_views
from detzoo.structures import BitmapMasks, Detections, ImageInfo, PanopticMap

THINGS = 5


def things(*masks: Tensor) -> Detections:
    bitmaps = torch.stack(masks).to(torch.uint8) if masks else torch.zeros(0, 4, 10)
    count = len(masks)
    return Detections(
        torch.zeros(count, 4),
        torch.linspace(0.9, 0.5, count) if count > 1 else torch.full((count,), 0.9),
        torch.arange(count),
        BitmapMasks(bitmaps.to(torch.uint8)),
    )


def columns(start: int, end: int, rows: int = 4) -> Tensor:
    mask = torch.zeros(4, 10, dtype=torch.bool)
    mask[:rows, start:end] = True
    return mask


def test_things_lie_in_order_of_score_on_stuff() -> None:
    stuff = torch.zeros(4, 10, dtype=torch.int64)
    stuff[:, 8:] = 1
    certainty = torch.full((4, 10), 0.5)
    certainty[:, 8] = 1.0
    # The second is half covered by the first, the third by more than half.
    found = HeuristicFusion(max_overlap=0.5, min_stuff_area=4)(
        things(columns(0, 4), columns(2, 6), columns(5, 7), torch.zeros(4, 10).bool()),
        stuff,
        certainty,
        THINGS,
    )
    assert found.ids[0].tolist() == [1, 1, 1, 1, 2, 2, 3, 4, 5, 5]
    assert found.labels.tolist() == [0, 1, 2, THINGS, THINGS + 1]
    assert found.is_thing.tolist() == [True, True, True, False, False]
    assert found.scores.tolist() == pytest.approx([0.9, 0.9 - 0.4 / 3, 0.9 - 0.8 / 3, 0.5, 0.75])
    stricter = HeuristicFusion(max_overlap=0.49, min_stuff_area=4)
    found = stricter(things(columns(0, 4), columns(2, 6)), stuff, certainty, THINGS)
    assert found.labels.tolist() == [0, THINGS, THINGS + 1]


def test_little_stuff_is_void() -> None:
    stuff = torch.zeros(4, 10, dtype=torch.int64)
    stuff[:, 8:] = 1
    stuff[:, :3] = -1  # a thing, says the semantic head
    certainty = torch.ones(4, 10)
    fusion = HeuristicFusion(min_stuff_area=8)
    found = fusion(things(), stuff, certainty, THINGS)
    assert found.labels.tolist() == [THINGS, THINGS + 1]
    assert found.ids[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    # What things leave counts.
    found = fusion(things(columns(9, 10, rows=1)), stuff, certainty, THINGS)
    assert found.labels.tolist() == [0, THINGS]
    assert found.ids[1].tolist() == [0, 0, 0, 2, 2, 2, 2, 2, 0, 0]


def test_nothing_at_all() -> None:
    stuff = torch.full((4, 10), -1)
    found = HeuristicFusion()(things(), stuff, torch.ones(4, 10), THINGS)
    assert len(found) == 0
    assert isinstance(found, PanopticMap)
    assert found.ids.eq(0).all()


def logits_of(label: Tensor, classes: int = 10) -> Tensor:
    """Logits (C, h, w) with 2 for the given label, else 0."""
    return 2.0 * torch.nn.functional.one_hot(label, classes).permute(2, 0, 1)


def test_logits_are_resized_before_they_are_compared() -> None:
    """An input of 16 x 24 with padding to 16 x 32, scaled by 2 from 8 x 12, in 10 classes."""
    label = torch.zeros(4, 8, dtype=torch.int64)
    label[:, 3:6] = 8  # on both sides of the split of channels
    label[:, 6:] = 9  # of things: the padding
    info = replace(ImageInfo.of((8, 12)), size=(16, 24), padded_size=(16, 32), scale=(2.0, 2.0))
    prediction = StuffLogits(logits_of(label), (16, 32), THINGS, HeuristicFusion(min_stuff_area=1))
    found = prediction.to_original(info, no_things((8, 12)))
    assert found.labels.tolist() == [THINGS, THINGS + 8]
    assert found.ids[0].tolist() == [1] * 6 + [2] * 6
    first = found.mask(0)[:, :4].float().mean()
    assert first == 1
    inside = math.exp(2) / (math.exp(2) + 9)
    assert 0.5 * inside < float(found.scores[0]) < inside


def test_views_are_averaged_unflipped() -> None:
    label = torch.zeros(4, 8, dtype=torch.int64)
    label[:, 5:] = 1
    info = ImageInfo.of((16, 32))
    fusion = HeuristicFusion(min_stuff_area=1)
    one = StuffLogits(logits_of(label, 3), (16, 32), THINGS, fusion)
    flipped = StuffLogits(logits_of(label, 3).flip(2), (16, 32), THINGS, fusion)
    alone = one.to_original(info, no_things((16, 32)))
    views = [(one, info), (flipped, replace(info, flip="horizontal"))]
    both = fuse_views(views, no_things((16, 32)))
    assert torch.equal(both.ids, alone.ids)
    torch.testing.assert_close(both.scores, alone.scores)
    wrong = fuse_views([(one, info), (flipped, info)], no_things((16, 32)))
    assert not torch.equal(wrong.ids, alone.ids)


def no_things(size: tuple[int, int]) -> Detections:
    masks = BitmapMasks(torch.zeros((0, *size), dtype=torch.uint8))
    return replace(Detections.empty(), masks=masks)
