from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detzoo.errors import ConfigError
from detzoo.necks.fpn_carafe import FPNCARAFE, FPNCARAFEConfig

CHANNELS, STRIDES = (4, 8), (4, 8)


def build(num_outputs: int = 3) -> FPNCARAFE:
    torch.manual_seed(0)
    return FPNCARAFEConfig(out_channels=6, num_outputs=num_outputs).build(CHANNELS, STRIDES)


def features(size: int = 10) -> tuple[Tensor, ...]:
    return torch.randn(1, 4, size, size), torch.randn(1, 8, (size + 1) // 2, (size + 1) // 2)


def test_levels() -> None:
    neck = build()
    assert neck.out_channels == (6, 6, 6)
    assert neck.out_strides == (4, 8, 16)
    assert [tuple(x.shape) for x in neck(features())] == [
        (1, 6, 10, 10),
        (1, 6, 5, 5),
        (1, 6, 3, 3),
    ]
    assert [tuple(x.shape[2:]) for x in build(2)(features())] == [(10, 10), (5, 5)]


def test_the_additional_level_takes_part_in_the_pathway() -> None:
    neck, (fine, coarse) = build(), features()
    top = neck.lateral_convs[2](coarse)
    # 3x3 cells become 6x6, of which the map below has 5x5.
    middle = neck.lateral_convs[1](coarse) + neck.upsample_modules[1](top)[:, :, :5, :5]
    bottom = neck.lateral_convs[0](fine) + neck.upsample_modules[0](middle)
    wanted = [conv(x) for conv, x in zip(neck.fpn_convs, (bottom, middle, top))]
    for found, own in zip(neck((fine, coarse)), wanted):
        torch.testing.assert_close(found, own)


@pytest.mark.parametrize("num_outputs", [1, 4])
def test_numbers_of_levels_that_cannot_be(num_outputs: int) -> None:
    with pytest.raises(ConfigError, match=r"model\.neck\.num_outputs: \d, but the backbone has 2"):
        build(num_outputs)
