"""Inference fuses layers and writes over maps that nobody reads any more: same features."""

from __future__ import annotations

import pytest
import torch

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.hourglass import HourglassConfig
from detzoo.backbones.hrnet import HRNetConfig
from detzoo.backbones.regnet import RegNetConfig
from detzoo.backbones.res2net import Res2NetConfig
from detzoo.backbones.residual import BasicBlock, BlockLayers, in_a_row
from detzoo.backbones.resnest import ResNeStConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.norm import BatchNorm
from tests.parity.model import fill

CONFIGS = (
    ResNetConfig(depth=18, base_channels=16),
    ResNetConfig(depth=50, base_channels=16, context_ratio=0.25),
    RegNetConfig(variant="400mf"),
    Res2NetConfig(depth=101),
    ResNeStConfig(depth=50),
    HRNetConfig(width=18),
    HourglassConfig(),
)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)
def test_features_are_those_of_training(config: BackboneConfig) -> None:
    torch.manual_seed(0)
    model = config.build().eval().to(memory_format=torch.channels_last)
    fill(model, {})  # fresh blocks add nothing to their shortcut
    x = torch.randn(1, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    given = x.clone()
    with torch.enable_grad():
        expected = model(x.clone().requires_grad_())
    with torch.no_grad():
        found = model(x)
    torch.testing.assert_close(x, given, rtol=0, atol=0)
    for own, theirs in zip(found, expected, strict=True):
        scale = float(theirs.detach().abs().max())
        torch.testing.assert_close(own / scale, theirs.detach() / scale, rtol=0, atol=2e-5)


def test_a_row_of_blocks_leaves_its_input_as_it_is() -> None:
    layers = BlockLayers(norm=BatchNorm())
    row = in_a_row([BasicBlock(16, 16, layers=layers) for _ in range(3)]).eval()
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    given = x.clone()
    with torch.no_grad():
        row(x)
    torch.testing.assert_close(x, given, rtol=0, atol=0)
