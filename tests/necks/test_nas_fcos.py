from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from detzoo.config import ConfigError
from detzoo.layers.convolution import PlainConvConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.nas_fcos import MergeCell, NASFCOSPyramidConfig


def test_levels_have_the_sizes_of_the_maps() -> None:
    neck = NASFCOSPyramidConfig(out_channels=8).build((4, 8, 8, 8), (4, 8, 16, 32)).eval()
    features = tuple(torch.randn(1, c, s, s + 1) for c, s in ((4, 40), (8, 20), (8, 10), (8, 5)))
    shapes = [tuple(x.shape[2:]) for x in neck(features)]
    assert shapes == [(20, 21), (10, 11), (5, 6), (3, 3), (2, 2)]
    assert neck.out_strides == (8, 16, 32, 64, 128)


def test_a_cell_adds_pairs_of_channels() -> None:
    """The first map's channels 0 and 1 make the first output, and so on: they lie side by side."""
    cell = MergeCell(4, PlainConvConfig(), BatchNormConfig(), both=False).eval()
    a, b = torch.randn(1, 4, 2, 2), torch.rand(1, 4, 4, 4)
    first = F.interpolate(cell.input1_conv(a), (4, 4))
    weight = cell.out_conv.conv.weight.flatten(1)
    pair = torch.cat([first, b], 1) / (1 + 1e-5) ** 0.5
    wanted = (pair.unflatten(1, (4, 2)) * weight[None, :, :, None, None]).sum(2)
    torch.testing.assert_close(cell(a, b), wanted)


def test_it_takes_three_maps() -> None:
    with pytest.raises(ConfigError, match="from 2"):
        NASFCOSPyramidConfig(start_level=2).build((4, 8, 8, 8), (4, 8, 16, 32))
