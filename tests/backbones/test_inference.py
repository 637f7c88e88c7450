"""A fused backbone writes over maps that nobody reads any more, and gives the same features."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detzoo.backbones import hourglass
from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.hourglass import HourglassConfig
from detzoo.backbones.hrnet import HRNetConfig
from detzoo.backbones.regnet import RegNetConfig
from detzoo.backbones.res2net import Res2NetConfig
from detzoo.backbones.residual import BasicBlock, BlockLayers, Blocks
from detzoo.backbones.resnest import ResNeStConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.fusion import fuse
from detzoo.layers.norm import BatchNormConfig
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
def test_features_are_the_same(config: BackboneConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourglass, "CHANNELS", (32, 32, 48, 48, 48, 64))
    torch.manual_seed(0)
    model = config.build().eval().to(memory_format=torch.channels_last)
    fill(model, {})  # fresh blocks add nothing to their shortcut
    x = torch.randn(1, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    given = x.clone()
    with torch.no_grad():
        expected, found = model(x), fuse(model)(x)
    torch.testing.assert_close(x, given, rtol=0, atol=0)
    for own, theirs in zip(found, expected, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(own / scale, theirs / scale, rtol=0, atol=2e-5)


def row() -> tuple[Blocks, Tensor]:
    torch.manual_seed(0)
    layers = BlockLayers(norm=BatchNormConfig())
    blocks = Blocks(*(BasicBlock(16, 16, layers=layers) for _ in range(3)))
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    return blocks.eval(), x


@torch.no_grad()
def test_a_row_of_blocks_leaves_its_input_as_it_is() -> None:
    blocks, x = row()
    given = x.clone()
    fuse(blocks)(x)
    torch.testing.assert_close(x, given, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["0", "1", "1.conv2", "1.bn2", "2.downsample"])
def test_what_hooks_keep_is_not_written_over(name: str) -> None:
    """Of the model or of the copy: they see what the plain model computes, and can keep it."""
    kept: dict[str, Tensor] = {}
    blocks, x = row()
    fused = fuse(blocks)
    for where, module in (("plain", blocks), ("copy", fused)):
        module.get_submodule(name).register_forward_hook(
            lambda _, __, out, where=where: kept.setdefault(where, out)
        )
        module(x)
    seen_in_copy_of_hooked: dict[str, Tensor] = {}
    blocks.get_submodule(name).register_forward_hook(
        lambda _, __, out: seen_in_copy_of_hooked.setdefault("out", out)
    )
    fuse(blocks)(x)
    torch.testing.assert_close(seen_in_copy_of_hooked["out"], kept["plain"])
    if name != "1.conv2":  # which, in the copy, has all that follows it within
        torch.testing.assert_close(kept["copy"], kept["plain"])
