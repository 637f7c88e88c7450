from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.layers.conv_norm_act import Activation, ConvModule, conv_norm_act
from detzoo.layers.convolution import DeformConv2d, WeightStandardizedConv2d
from detzoo.layers.norm import BatchNormConfig, FixedBatchNorm2d

X = torch.randn(2, 4, 7, 5, generator=torch.Generator().manual_seed(0)) * 5


@pytest.mark.parametrize("activation", ["relu", "relu6", "none"])
def test_convolution_and_activation(activation: Activation) -> None:
    module = ConvModule(4, 6, 3, stride=2, padding=1, groups=2, activation=activation)
    out = F.conv2d(X, module.conv.weight, module.conv.bias, 2, 1, groups=2)
    out = out if activation == "none" else out.clamp(0, 6 if activation == "relu6" else None)
    torch.testing.assert_close(module(X), out)
    assert list(module.state_dict()) == ["conv.weight", "conv.bias"]


@pytest.mark.parametrize("fixed", [False, True])
def test_a_norm_replaces_the_bias(fixed: bool) -> None:
    module = ConvModule(4, 6, 3, norm=BatchNormConfig(fixed_statistics=fixed), activation="none")
    assert module.conv.bias is None
    assert {name.split(".")[0] for name in module.state_dict()} == {"conv", "bn"}
    plain = nn.BatchNorm2d(6).train(not fixed)
    torch.testing.assert_close(module(X), plain(module.conv(X)))


def conv_and_norm(kind: str) -> tuple[nn.Conv2d, FixedBatchNorm2d]:
    """A convolution and a fixed norm whose statistics and weights are not trivial."""
    generator = torch.Generator().manual_seed(0)
    conv: nn.Conv2d
    if kind == "deformable":
        conv = DeformConv2d(4, 6, 3, 2, 2, 2, 1, False, deformable_groups=1, modulated=True)
        conv.conv_offset.weight.data.normal_(std=0.1, generator=generator)
    elif kind == "standardized":
        conv = WeightStandardizedConv2d(4, 6, 3, stride=2, padding=2, dilation=2, bias=False)
    else:
        groups = 2 if kind == "grouped" else 1
        conv = nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=groups, bias=False)
    norm = BatchNormConfig(fixed_statistics=True).build(6).double()
    assert isinstance(norm, FixedBatchNorm2d)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
        assert tensor is not None
        tensor.copy_(torch.randn(6, generator=generator))
    assert norm.running_var is not None
    norm.running_var.copy_(0.5 + torch.rand(6, generator=generator))
    return conv.double().train(), norm


@pytest.mark.parametrize("kind", ["plain", "grouped", "standardized", "deformable"])
def test_a_fixed_norm_is_folded_in_training(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same value, and same gradients of input, kernel, weight and bias."""
    conv, norm = conv_and_norm(kind)
    x = torch.randn(2, 4, 9, 7, dtype=torch.double, requires_grad=True)
    shortcut = torch.randn(2, 6, 5, 4, dtype=torch.double)
    leaves = (x, conv.weight, norm.weight, norm.bias)
    plain = F.relu(norm(conv(x)) + shortcut)
    # Folded, the norm itself computes nothing.
    monkeypatch.setattr(F, "batch_norm", None)
    found = conv_norm_act(x, conv, norm, "relu", shortcut=shortcut)
    torch.testing.assert_close(found, plain)
    direction = torch.randn(plain.shape, dtype=torch.double)
    theirs = torch.autograd.grad((plain * direction).sum(), leaves)
    ours = torch.autograd.grad((found * direction).sum(), leaves)
    for a, b in zip(ours, theirs):
        assert a.any()
        torch.testing.assert_close(a, b)


def test_in_evaluation_every_layer_is_called() -> None:
    conv, norm = conv_and_norm("plain")
    conv.eval()
    called: list[nn.Module] = []
    handles = [m.register_forward_hook(lambda m, *_: called.append(m)) for m in (conv, norm)]
    x = torch.randn(1, 4, 9, 7, dtype=torch.double)
    with torch.no_grad():
        conv_norm_act(x, conv, norm, "relu")
    assert called == [conv, norm]
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("watched", ["conv", "norm"])
def test_hooks_see_what_a_layer_returned(watched: str) -> None:
    """In training under fixed statistics too; and nobody writes over what they keep."""
    conv, norm = conv_and_norm("plain")
    seen: list[Tensor] = []
    layer = conv if watched == "conv" else norm
    layer.register_forward_hook(lambda _, __, out: seen.append(out))
    x = torch.randn(1, 4, 9, 7, dtype=torch.double)
    conv_norm_act(x, conv, norm, "relu")
    (kept,) = seen
    expected = F.conv2d(x, conv.weight, None, 2, 2, 2)
    if watched == "norm":
        assert norm.running_mean is not None
        assert norm.running_var is not None
        statistics = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        expected = F.batch_norm(expected, *statistics, eps=norm.eps)
    assert (expected < 0).any()
    torch.testing.assert_close(kept, expected)


@pytest.mark.parametrize("norm", [None, nn.Identity(), nn.InstanceNorm2d(6)])
@pytest.mark.parametrize("conv", [nn.Conv2d(4, 6, 3, padding="same"), nn.LazyConv2d(6, 3)])
def test_any_module_will_do(conv: nn.Module, norm: nn.Module | None) -> None:
    out = conv(X) if norm is None else norm(conv(X))
    expected = F.relu(out + 1)
    found = conv_norm_act(X, conv, norm, "relu", shortcut=torch.ones_like(out))
    torch.testing.assert_close(found, expected)
