from __future__ import annotations

from dataclasses import dataclass

import torch

from detzoo.structures import (
    UNLABELED,
    Detections,
    ImageInfo,
    PanopticMap,
    PanopticPrediction,
)


def three_segments() -> PanopticMap:
    ids = torch.tensor([[0, 1, 1, 2], [3, 3, 3, 2]], dtype=torch.int32)
    return PanopticMap(
        ids, torch.tensor([4, 0, 7]), torch.tensor([True, True, False]), torch.tensor([0.9, 0.8, 1])
    )


def test_what_a_map_says() -> None:
    found = three_segments()
    assert len(found) == 3
    assert found.areas.tolist() == [2, 2, 3]
    assert found.mask(1).tolist() == [[False, False, False, True]] * 2
    u = UNLABELED
    assert found.semantic_map().tolist() == [[u, 4, 4, 0], [7, 7, 7, 0]]
    assert found.semantic_map().dtype == torch.uint8


def test_some_segments() -> None:
    kept = three_segments().only(torch.tensor([False, True, True]))
    assert kept.ids.tolist() == [[0, 0, 0, 1], [2, 2, 2, 1]]
    assert kept.labels.tolist() == [0, 7]
    assert kept.is_thing.tolist() == [True, False]
    assert kept.areas.tolist() == [2, 3]
    nothing = three_segments().only(torch.zeros(3, dtype=torch.bool))
    assert len(nothing) == 0
    assert nothing.ids.eq(0).all()


def test_void() -> None:
    found = PanopticMap.void(torch.ones(2, 3))
    assert len(found) == 0
    assert found.areas.tolist() == []
    assert found.semantic_map().tolist() == [[UNLABELED] * 3] * 2


@dataclass(frozen=True)
class OneThing(PanopticPrediction):
    tensors = ()

    def to(self, device: torch.device | str) -> OneThing:
        return self

    def to_original(self, info: ImageInfo, things: Detections) -> PanopticMap:
        ids = torch.full(info.original_size, len(things), dtype=torch.int32)
        return PanopticMap(ids, things.labels, torch.ones(1) > 0, things.scores)


def test_detections_fuse_with_what_is_left_of_them() -> None:
    """Objects that were left out before are not fused; the map stays with the image after."""
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 8, 8]])
    found = Detections(boxes, torch.tensor([0.9, 0.2]), torch.tensor([1, 0]), panoptic=OneThing())
    info = ImageInfo.of((3, 5))
    original = found[found.scores > 0.5].to("cpu").to_original(info)
    assert isinstance(original.panoptic, PanopticMap)
    assert original.panoptic.ids.tolist() == [[1] * 5] * 3
    assert original.panoptic.labels.tolist() == [1]
    assert original[:0].panoptic is original.panoptic
