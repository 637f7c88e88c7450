"""The neck of Deformable DETR."""

from __future__ import annotations

import pytest
import torch

from detzoo.errors import ConfigError
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.channel_mapper import ChannelMapperConfig

CONFIG = ChannelMapperConfig(out_channels=8, num_outputs=4, norm=GroupNormConfig(groups=2))


def test_outputs() -> None:
    neck = CONFIG.build((4, 6), (8, 16))
    outputs = neck((torch.randn(1, 4, 12, 10), torch.randn(1, 6, 6, 5)))
    assert [tuple(x.shape) for x in outputs] == [
        (1, 8, 12, 10),
        (1, 8, 6, 5),
        (1, 8, 3, 3),
        (1, 8, 2, 2),
    ]
    assert neck.out_channels == (8, 8, 8, 8)
    assert neck.out_strides == (8, 16, 32, 64)
    names = set(neck.state_dict())
    assert {"convs.1.conv.weight", "extra_convs.0.gn.bias"} <= names
    # The first extra level is made of the backbone's last map.
    assert neck.state_dict()["extra_convs.0.conv.weight"].shape == (8, 6, 3, 3)
    assert neck.state_dict()["extra_convs.1.conv.weight"].shape == (8, 8, 3, 3)


def test_too_few_outputs() -> None:
    with pytest.raises(ConfigError, match="num_outputs: 4 is fewer than the 5"):
        CONFIG.build((4,) * 5, (4, 8, 16, 32, 64))
