from __future__ import annotations

import torch

from detzoo.heads.dense.base import DenseTargets
from detzoo.heads.dense.ddod import DDODHeadConfig


def test_levels_with_few_positives_count_more() -> None:
    head = DDODHeadConfig(num_convs=1, channels=32).build((8,) * 3, (8, 16, 32), 2)
    level = torch.tensor([0, 0, 1, 1, 2])
    rest = (torch.zeros(2, 5),) * 4
    found = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 0, 1]])
    targets = DenseTargets(*rest, found, torch.tensor(6.0))
    weights = head._level_weights(targets, level)
    assert head.level_positives.tolist() == [4, 2, 1]
    torch.testing.assert_close(weights, (2 - torch.tensor([3.0, 3, 1, 1, 0]) / 3))
    # Counts go on over the whole of training, but are no part of published checkpoints.
    head._level_weights(targets, level)
    assert head.level_positives.tolist() == [8, 4, 2]
    assert "level_positives" not in head.state_dict()
