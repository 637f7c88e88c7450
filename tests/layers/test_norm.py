from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.layers.convolution import Conv2d
from detzoo.layers.norm import BatchNorm, FixedBatchNorm2d


def conv_and_norm(groups: int = 1) -> tuple[Conv2d, FixedBatchNorm2d]:
    """A strided convolution and a fixed norm whose statistics and weights are not trivial."""
    generator = torch.Generator().manual_seed(0)
    conv = Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=groups, bias=False).double()
    norm = BatchNorm(fixed_statistics=True).build(6).double()
    assert isinstance(norm, FixedBatchNorm2d)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
        assert tensor is not None
        tensor.copy_(torch.randn(6, generator=generator))
    assert norm.running_var is not None
    norm.running_var.copy_(0.5 + torch.rand(6, generator=generator))
    return conv, norm


@pytest.mark.parametrize("groups", [1, 2])
def test_follow_equals_convolution_then_norm(groups: int) -> None:
    """In value, and in the gradients of input, kernel, weight and bias."""
    conv, norm = conv_and_norm(groups)
    x = torch.randn(2, 4, 9, 7, dtype=torch.double, requires_grad=True)
    leaves = (x, conv.weight, norm.weight, norm.bias)

    def plain() -> Tensor:
        return F.batch_norm(
            conv(x), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )

    torch.testing.assert_close(norm.follow(conv, x), plain())
    direction = torch.randn(plain().shape, dtype=torch.double)
    ours = torch.autograd.grad((norm.follow(conv, x) * direction).sum(), leaves)
    theirs = torch.autograd.grad((plain() * direction).sum(), leaves)
    for a, b in zip(ours, theirs):
        assert a.any()
        torch.testing.assert_close(a, b)


def test_fixed_statistics_stay_fixed() -> None:
    conv, norm = conv_and_norm()
    norm.train()
    assert not norm.training
    before = [buffer.clone() for buffer in norm.buffers()]
    norm.follow(conv, torch.randn(2, 4, 9, 9, dtype=torch.double))
    norm(torch.randn(2, 6, 3, 3, dtype=torch.double))
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers()))


def test_other_statistics_are_learned() -> None:
    norm = BatchNorm(momentum=0.5).build(3)
    conv = Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(conv.weight)
    x = 4 + torch.randn(2, 3, 8, 8)
    out = norm.train().follow(conv, x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(norm.get_buffer("running_mean"), x.mean((0, 2, 3)) / 2)
    assert not norm.eval().training


def test_whether_weight_and_bias_learn() -> None:
    for fixed in (False, True):
        learning = BatchNorm(fixed_statistics=fixed).build(3)
        assert all(p.requires_grad for p in learning.parameters())
        frozen = BatchNorm(fixed_statistics=fixed, trainable=False).build(3)
        assert not any(p.requires_grad for p in frozen.parameters())


def test_checkpoints_hold_what_those_of_torch_hold() -> None:
    plain = nn.BatchNorm2d(3).state_dict()
    for fixed in (False, True):
        assert list(BatchNorm(fixed_statistics=fixed).build(3).state_dict()) == list(plain)
