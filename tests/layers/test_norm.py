from __future__ import annotations

import copy
import pickle
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.layers.activations import Activation, activate
from detzoo.layers.convolution import Conv2d
from detzoo.layers.norm import BatchNorm, BatchNorm2d, FixedBatchNorm2d, set_folding


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


def eval_pair() -> tuple[Conv2d, BatchNorm2d]:
    """A convolution and a norm in evaluation, which may fold."""
    conv = Conv2d(3, 5, 3, bias=True)
    norm = BatchNorm().build(5)
    assert isinstance(norm, BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.copy_(torch.arange(5.0))
    return conv, norm.eval()


@torch.no_grad()
def test_in_evaluation_the_folded_kernel_is_remembered() -> None:
    conv, norm = eval_pair()
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(norm.follow(conv, x), norm(conv(x)))
    first = norm.folded
    norm.follow(conv, x)
    assert first is not None
    assert norm.folded is first
    set_folding(norm, False)
    assert torch.equal(norm.follow(conv, x), norm(conv(x)))


@torch.no_grad()
def test_a_remembered_kernel_follows_what_it_was_made_of() -> None:
    conv, norm = eval_pair()
    x = torch.randn(2, 3, 6, 6)
    for change in (
        lambda: conv.weight.mul_(2),
        lambda: norm.get_buffer("running_var").fill_(3.0),
        lambda: conv.load_state_dict({k: v + 1 for k, v in conv.state_dict().items()}),
        lambda: norm.double() and conv.double(),
    ):
        norm.follow(conv, x)
        change()
        x = x.to(conv.weight.dtype)
        torch.testing.assert_close(norm.follow(conv, x), norm(conv(x)))


@torch.no_grad()
def test_a_remembered_kernel_has_the_precision_of_the_pass() -> None:
    conv, norm = eval_pair()
    x = torch.randn(2, 3, 6, 6)
    norm.follow(conv, x)
    with torch.autocast("cpu", torch.bfloat16):
        out = norm.follow(conv, x)
    assert out.dtype == torch.bfloat16
    assert norm.follow(conv, x).dtype == torch.float32


def test_weights_made_in_inference_mode_are_folded_each_time() -> None:
    with torch.inference_mode():
        conv, norm = eval_pair()
        x = torch.randn(2, 3, 6, 6)
        torch.testing.assert_close(norm.follow(conv, x), norm(conv(x)))
        assert norm.folded is None


def test_in_training_batches_give_the_statistics() -> None:
    conv, norm = eval_pair()
    norm.train()
    x = torch.randn(2, 3, 6, 6)
    out = norm.follow(conv, x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(5), rtol=0, atol=1e-5)
    assert norm.folded is None


@torch.no_grad()
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_what_follows_is_computed_along_the_way(
    activation: Activation, layout: torch.memory_format
) -> None:
    """Addition, then activation, for kernels of all kinds; the summand stays as it is."""
    for options in ({"groups": 2, "padding": 1}, {"stride": 2, "padding": 2, "dilation": 2}, {}):
        conv = Conv2d(4, 6, 3, **options)  # type: ignore[arg-type]
        norm = BatchNorm().build(6).eval()
        x = torch.randn(2, 4, 9, 7).contiguous(memory_format=layout)
        plain = norm(conv(x))
        beside = torch.randn(plain.shape)
        before = beside.clone()
        out = norm.follow(conv, x, activation, beside=beside)
        wanted = activate(plain + beside, activation)
        torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-5)
        assert torch.equal(beside, before)
        alone = conv.then(x, activation)
        torch.testing.assert_close(alone, activate(conv(x), activation), rtol=1e-4, atol=1e-5)


def test_copies_of_a_module_fold_anew() -> None:
    conv, norm = eval_pair()
    with torch.no_grad():
        norm.follow(conv, torch.randn(1, 3, 5, 5))
    for copied in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert norm.folded is not None
        assert copied.folded is None
