from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detzoo.layers.checkpoint import run_stage
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.layers.norm import BatchNormConfig


class Counting(nn.Module):
    """A block with a norm that learns its statistics; counts its forward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = BatchNormConfig(momentum=0.3).build(3)
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return conv_norm_act(x, self.conv, self.norm).sigmoid()


def stage() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Counting(), Counting())


def passes(blocks: nn.Sequential) -> list[int]:
    return [block.passes for block in blocks]  # type: ignore[misc]


@pytest.mark.parametrize("input_learns", [False, True])
def test_the_same_step_with_a_second_pass(input_learns: bool) -> None:
    """Equal output, gradients and statistics, whether or not something learns before the stage."""
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    results = []
    for recompute in (False, True):
        blocks, start = stage(), x.clone().requires_grad_(input_learns)
        out = run_stage(blocks, start, recompute)
        out.square().sum().backward()
        gradients = [p.grad for p in blocks.parameters()]
        results.append((out, start.grad, gradients, list(blocks.buffers())))
        assert passes(blocks) == ([2, 2] if recompute else [1, 1])
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_statistics_keep_being_learned() -> None:
    blocks = stage()
    for _ in range(3):
        x = torch.randn(2, 3, 6, 6)
        run_stage(blocks, x, recompute=True).sum().backward()
    norms = [module for module in blocks.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [norm.num_batches_tracked for norm in norms] == [3, 3]
    assert [norm.momentum for norm in norms] == [0.3, 0.3]


def test_one_pass_without_gradients() -> None:
    blocks = stage()
    with torch.no_grad():
        run_stage(blocks, torch.randn(2, 3, 6, 6), recompute=True)
    assert passes(blocks) == [1, 1]
