from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from detzoo.layers.conv import Activation, ConvModule
from detzoo.layers.norm import BatchNorm

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
    module = ConvModule(4, 6, 3, norm=BatchNorm(fixed_statistics=fixed), activation="none")
    assert module.conv.bias is None
    assert {name.split(".")[0] for name in module.state_dict()} == {"conv", "bn"}
    plain = nn.BatchNorm2d(6).train(not fixed)
    torch.testing.assert_close(module(X), plain(module.conv(X)))
