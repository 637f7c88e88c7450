from __future__ import annotations

import numpy as np
import pytest
import torch

from detzoo.data.sample import apply
from detzoo.data.transforms import Crop, Flip, Resize
from detzoo.structures import Detections
from tests.data.transforms.samples import sample


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_to_input_is_the_way_back_of_to_original(direction: str) -> None:
    transforms = (
        Resize(sizes=((90, 50),), keep_ratio=False),
        Flip(probability=1.0, directions=(direction,)),  # type: ignore[arg-type]
    )
    info = apply(transforms, sample(), np.random.default_rng(0)).info
    boxes = torch.tensor([[3.0, 5.0, 30.0, 40.0], [0.0, 0.0, 60.0, 40.0]])
    inside = info.to_input(boxes)
    assert not inside.equal(boxes)
    back = Detections(inside, torch.ones(2), torch.zeros(2).long()).to_original(info)
    assert torch.allclose(back.boxes, boxes, atol=1e-4)


def test_targets_and_given_boxes_arrive_together() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        transforms = (Resize(sizes=((90, 60),)), Crop(size=(40, 70)), Flip(probability=0.5))
        before = sample()
        after = apply(transforms, before, rng)
        arrived = after.info.to_input(before.targets.boxes)
        assert torch.allclose(arrived[after.targets.labels], after.targets.boxes, atol=1e-4)


def test_nothing_stays_nothing() -> None:
    assert sample().info.to_input(torch.zeros(0, 4)).shape == (0, 4)
