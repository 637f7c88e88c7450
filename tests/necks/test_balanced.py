from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F

from detzoo.config import ConfigError
from detzoo.layers.non_local import NonLocal
from detzoo.necks.bfp import BFPConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.necks.sequence import NeckSequenceConfig

SIZES, STRIDES = (16, 8, 4), (4, 8, 16)


def maps(channels: int = 6) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, channels, s, s, generator=generator) for s in SIZES)


def test_non_local_block_equals_the_loop() -> None:
    torch.manual_seed(0)
    block = NonLocal(5)
    x = torch.randn(2, 5, 3, 4)
    found = block(x)
    for image in range(2):
        cells = x[image].flatten(1).T  # (12, 5)
        theta, phi, g = (
            cells @ layer.conv.weight[:, :, 0, 0].T + layer.conv.bias
            for layer in (block.theta, block.phi, block.g)
        )
        for cell in range(12):
            weights = torch.stack([theta[cell] @ phi[other] for other in range(12)]).softmax(0)
            mean = sum(w * value for w, value in zip(weights, g))
            out = block.conv_out.conv.weight[:, :, 0, 0] @ mean + block.conv_out.conv.bias
            wanted = cells[cell] + out
            torch.testing.assert_close(found[image].flatten(1)[:, cell], wanted)


def test_every_level_receives_the_mean_of_all() -> None:
    neck = BFPConfig(refine_level=1).build((6,) * 3, STRIDES)
    torch.nn.init.zeros_(neck.refine.conv_out.conv.weight)
    fine, middle, coarse = maps()
    mean = (
        F.max_pool2d(fine, 2) + middle + coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    ) / 3
    found = neck((fine, middle, coarse))
    torch.testing.assert_close(
        found[0], fine + mean.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    torch.testing.assert_close(found[1], middle + mean)
    torch.testing.assert_close(found[2], coarse + F.max_pool2d(mean, 2))
    assert neck.out_channels == (6, 6, 6)
    assert neck.out_strides == STRIDES


def test_necks_in_sequence() -> None:
    config = NeckSequenceConfig(
        necks=(FPNConfig(out_channels=4, num_outputs=4), BFPConfig(refine_level=3))
    )
    neck = config.build((6,) * 3, STRIDES)
    first, second = neck.get_submodule("0"), neck.get_submodule("1")
    wanted = second(first(maps()))
    found = neck(maps())
    assert neck.out_channels == (4,) * 4
    assert neck.out_strides == (4, 8, 16, 32)
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a, b)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=re.escape("refine_level: 3 is not in 0..2")):
        BFPConfig(refine_level=3).build((6,) * 3, STRIDES)
    with pytest.raises(ConfigError, match="necks: is empty; give at least one neck"):
        NeckSequenceConfig(necks=())
