from __future__ import annotations

import pytest
import torch
from torch import nn

from detzoo.config import ConfigError
from detzoo.layers.norm import BatchNormConfig


def test_fixed_statistics_stay_fixed() -> None:
    norm = BatchNormConfig(fixed_statistics=True).build(6).train()
    assert not norm.training
    before = [buffer.clone() for buffer in norm.buffers()]
    norm(torch.randn(2, 6, 3, 3))
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers()))


def test_other_statistics_are_learned() -> None:
    norm = BatchNormConfig(momentum=0.5).build(3)
    x = 4 + torch.randn(2, 3, 8, 8)
    out = norm.train()(x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(norm.get_buffer("running_mean"), x.mean((0, 2, 3)) / 2)
    assert not norm.eval().training


def test_whether_weight_and_bias_learn() -> None:
    for fixed in (False, True):
        learning = BatchNormConfig(fixed_statistics=fixed).build(3)
        assert all(p.requires_grad for p in learning.parameters())
        frozen = BatchNormConfig(fixed_statistics=fixed, trainable=False).build(3)
        assert not any(p.requires_grad for p in frozen.parameters())


def test_checkpoints_hold_what_those_of_torch_hold() -> None:
    plain = nn.BatchNorm2d(3).state_dict()
    for fixed in (False, True):
        assert list(BatchNormConfig(fixed_statistics=fixed).build(3).state_dict()) == list(plain)


def test_nothing_is_added_to_fixed_variances_alone() -> None:
    with pytest.raises(ConfigError, match="requires fixed_statistics"):
        BatchNormConfig(eps=0.0)
    fixed = BatchNormConfig(eps=0.0, fixed_statistics=True)
    assert fixed.build(2)(torch.ones(1, 2, 1, 1)).flatten().tolist() == [1, 1]
    assert fixed.from_scratch().eps == 1e-5
