from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.layers.fusion import fuse
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.necks.pafpn import PAFPNConfig

CHANNELS, STRIDES = (3, 5, 7), (4, 8, 16)


def features() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((9, 13), (5, 7), (3, 4))
    return tuple(torch.randn((2, c, *s), generator=generator) for c, s in zip(CHANNELS, sizes))


def test_from_fine_to_coarse_by_hand() -> None:
    torch.manual_seed(0)
    neck = PAFPNConfig(out_channels=4, num_outputs=4).build(CHANNELS, STRIDES)
    plain = FPNConfig(out_channels=4, num_outputs=4).build(CHANNELS, STRIDES)
    plain.load_state_dict(neck.state_dict(), strict=False)
    first, second, third, _ = plain(features())
    down, last = neck.downsample_convs, neck.pafpn_convs

    def conv(x: Tensor, layer: torch.nn.Conv2d, stride: int) -> Tensor:
        return F.conv2d(x, layer.weight, layer.bias, stride=stride, padding=1)

    second = second + conv(first, down[0].conv, 2)
    third = third + conv(second, down[1].conv, 2)
    coarse = conv(third, last[1].conv, 1)
    wanted = (first, conv(second, last[0].conv, 1), coarse, coarse[:, :, ::2, ::2])
    for found, expected in zip(neck(features()), wanted):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("extra", ["max_pool", "on_input", "on_output"])
def test_levels_and_strides(extra: str) -> None:
    config = PAFPNConfig(
        out_channels=4, num_outputs=4, start_level=1, extra_levels=extra, norm=BatchNormConfig()
    )
    neck = config.build(CHANNELS, STRIDES).eval()
    assert neck.out_strides == (8, 16, 32, 64)
    maps = neck(features())
    assert [tuple(m.shape[2:]) for m in maps] == [(5, 7), (3, 4), (2, 2), (1, 1)]
    for map_, fused in zip(maps, fuse(neck)(features())):
        torch.testing.assert_close(fused, map_, atol=1e-5, rtol=1e-5)
