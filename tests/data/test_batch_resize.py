from __future__ import annotations

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.structures import ImageBatch, ImageInfo, Targets

SIZES = RandomBatchResize(multiples=(1, 4), every=3)


def batch() -> tuple[ImageBatch, list[Targets]]:
    infos = (ImageInfo.of((64, 64)), ImageInfo.of((48, 64)))
    boxes = torch.tensor([[8.0, 16.0, 32.0, 48.0]])
    targets = [Targets.of(boxes, torch.tensor([0])), Targets.of(boxes[:0], torch.tensor([]).long())]
    return ImageBatch(torch.rand(2, 3, 64, 64), infos), targets


def test_sizes_change_every_few_steps() -> None:
    sides = []
    for step in range(60):
        images, targets = SIZES.resize(*batch(), seed=5, step=step)
        side = images.pixels.shape[2]
        sides.append(side)
        assert images.pixels.shape == (2, 3, side, side)
        scale = side / 64
        assert targets[0].boxes.tolist() == [[8 * scale, 16 * scale, 32 * scale, 48 * scale]]
        assert targets[1].boxes.shape == (0, 4)
        assert images.infos[1].size == (48 * scale, side)
        # Boxes go back to the image file as before.
        back = images.infos[0].to_original(targets[0].boxes)
        torch.testing.assert_close(back, torch.tensor([[8.0, 16.0, 32.0, 48.0]]))
    assert set(sides) == {32, 64, 96, 128}
    assert sides[:3] == [64, 64, 64]  # at first the size that the transforms made
    assert all(len(set(sides[k : k + 3])) == 1 for k in range(0, 60, 3))


def test_sizes_follow_from_seed_and_step() -> None:
    def side(seed: int, step: int) -> int:
        return SIZES.resize(*batch(), seed=seed, step=step)[0].pixels.shape[2]

    assert [side(1, s) for s in range(3, 40)] == [side(1, s) for s in range(3, 40)]
    assert [side(1, s) for s in range(3, 40)] != [side(2, s) for s in range(3, 40)]


def test_a_range_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="multiples"):
        RandomBatchResize(multiples=(4, 3))
