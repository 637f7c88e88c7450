from __future__ import annotations

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.necks.nas_fpn import NASFPN, NASFPNConfig, add, attend, resize

CHANNELS, STRIDES = (4, 6, 8, 10), (4, 8, 16, 32)


def build(**fields: int) -> NASFPN:
    torch.manual_seed(0)
    return NASFPNConfig(out_channels=5, **fields).build(CHANNELS, STRIDES)


def maps(size: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(2, c, size // s, size // s, generator=generator)
        for c, s in zip(CHANNELS, STRIDES)
    )


def test_levels() -> None:
    neck = build(num_stages=2)
    found = neck(maps(128))
    assert [tuple(x.shape) for x in found] == [(2, 5, s, s) for s in (16, 8, 4, 2, 1)]
    assert neck.out_strides == (8, 16, 32, 64, 128)
    assert neck.out_channels == (5,) * 5


def test_without_stages_levels_are_lateral_or_pooled() -> None:
    neck = build(num_stages=0)
    p3, _, p5, p6, p7 = neck(maps(128))
    _, c3, _, c5 = maps(128)
    torch.testing.assert_close(p3, neck.lateral_convs[0](c3))
    torch.testing.assert_close(p5, neck.lateral_convs[2](c5))
    torch.testing.assert_close(
        p6, torch.nn.functional.max_pool2d(neck.extra_downsamples[0][0](p5), 2)
    )
    assert p7.shape[2:] == (1, 1)


def test_a_small_image_has_all_levels() -> None:
    assert [x.shape[2] for x in build(num_stages=1)(maps(32))] == [4, 2, 1, 1, 1]


def test_merges() -> None:
    a = torch.tensor([[1.0, 5.0], [2.0, 3.0]])[None, None]
    b = torch.tensor([[10.0]])[None, None]
    assert resize(a, b).item() == 5.0
    assert resize(b, a).flatten().tolist() == [10.0] * 4
    assert add(a, b, like=b).item() == 15.0
    share = torch.tensor(10.0).sigmoid().item()
    assert attend(a, b, like=b).item() == pytest.approx(10 + 5 * share)
    mean = torch.tensor(2.75).sigmoid().item()
    found = attend(b, a, like=a).flatten().tolist()
    assert found == pytest.approx([x + 10 * mean for x in (1, 5, 2, 3)])


@pytest.mark.parametrize("start_level", [4, -2])
def test_settings_that_cannot_be(start_level: int) -> None:
    with pytest.raises(ConfigError, match="start_level: "):
        build(start_level=start_level)
