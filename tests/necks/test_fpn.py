from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import ConfigError
from detzoo.layers.convolution import WeightStandardizedConv2d, WeightStandardizedConvConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.fpn import FPN, FPNConfig, halved

CHANNELS, STRIDES = (3, 5, 7), (4, 8, 16)


def features(sizes: tuple[tuple[int, int], ...] = ((9, 13), (5, 7), (3, 4))) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn((2, c, *s), generator=generator) for c, s in zip(CHANNELS, sizes))


def build(**fields: Any) -> FPN:
    return FPNConfig(out_channels=4, **fields).build(CHANNELS, STRIDES)


@pytest.mark.parametrize("extra", ["max_pool", "on_input", "on_output"])
def test_shapes_and_strides_for_odd_sizes(extra: str) -> None:
    neck = build(num_outputs=5, extra_levels=extra)
    assert neck.out_channels == (4,) * 5
    assert neck.out_strides == (4, 8, 16, 32, 64)
    sizes = [tuple(output.shape) for output in neck(features())]
    assert sizes == [(2, 4, *s) for s in ((9, 13), (5, 7), (3, 4), (2, 2), (1, 1))]


def test_top_down_by_hand() -> None:
    neck = build(num_outputs=3)
    maps = features(((4, 6), (2, 3), (1, 2)))  # the coarsest does not divide the next evenly
    lateral = [
        F.conv2d(x, m.conv.weight, m.conv.bias)  # type: ignore[union-attr,arg-type]
        for x, m in zip(maps, neck.lateral_convs)
    ]
    # Cell i of n takes what lies at cell floor(i * m / n) of the m cells above it.
    middle = lateral[1] + lateral[2][:, :, [0, 0]][:, :, :, [0, 0, 1]]
    fine = lateral[0] + middle[:, :, [0, 0, 1, 1]][:, :, :, [0, 0, 1, 1, 2, 2]]
    for output, inner, module in zip(neck(maps), (fine, middle, lateral[2]), neck.fpn_convs):
        torch.testing.assert_close(output, module(inner))


def test_extra_levels() -> None:
    neck = build(num_outputs=5, extra_levels="max_pool")
    *_, last, sixth, seventh = neck(features())
    assert torch.equal(sixth, last[:, :, ::2, ::2])
    assert torch.equal(seventh, sixth[:, :, ::2, ::2])
    assert len(neck.fpn_convs) == 3

    neck = build(num_outputs=5, extra_levels="on_input")
    maps = features()
    *_, sixth, seventh = neck(maps)
    torch.testing.assert_close(sixth, neck.fpn_convs[3](maps[-1]))
    # The published models have no activation between the two.
    torch.testing.assert_close(seventh, neck.fpn_convs[4](sixth))
    assert len(neck.fpn_convs) == 5


@pytest.mark.parametrize("extra", ["on_input", "on_output"])
@pytest.mark.parametrize("relu", [False, True])
def test_where_extra_levels_begin_and_what_is_between_them(extra: str, relu: bool) -> None:
    neck = build(num_outputs=5, extra_levels=extra, relu_between_extras=relu)
    maps = features()
    *_, last, sixth, seventh = neck(maps)
    start = maps[-1] if extra == "on_input" else last
    assert start.min() < 0
    torch.testing.assert_close(sixth, neck.fpn_convs[3](start))
    torch.testing.assert_close(seventh, neck.fpn_convs[4](sixth.relu() if relu else sixth))


@pytest.mark.parametrize("on_lateral", [False, True])
def test_norms(on_lateral: bool) -> None:
    neck = build(
        num_outputs=4,
        extra_levels="on_output",
        norm=GroupNormConfig(groups=2),
        norm_on_lateral=on_lateral,
        convolution=WeightStandardizedConvConfig(),
    )
    names = set(neck.state_dict())
    assert {f"fpn_convs.{n}.gn.weight" for n in range(4)} <= names
    assert not any(name.startswith("fpn_convs") and name.endswith("conv.bias") for name in names)
    assert ("lateral_convs.0.gn.weight" in names) is on_lateral
    assert ("lateral_convs.0.conv.bias" in names) is not on_lateral
    convolutions = [m for m in neck.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(isinstance(m, WeightStandardizedConv2d) for m in convolutions)
    sum(output.square().sum() for output in neck(features())).backward()
    assert all(parameter.grad is not None for parameter in neck.parameters())


def test_start_level() -> None:
    neck = build(num_outputs=3, start_level=1, extra_levels="on_input")
    assert neck.out_strides == (8, 16, 32)
    maps = features()
    outputs = neck(maps)
    assert outputs[0].shape == (2, 4, 5, 7)
    assert len(neck.lateral_convs) == 2
    # The map below takes no part.
    changed = neck((torch.zeros_like(maps[0]), *maps[1:]))
    assert all(torch.equal(a, b) for a, b in zip(outputs, changed))


@pytest.mark.parametrize("extra", ["max_pool", "on_input", "on_output"])
def test_every_parameter_takes_part(extra: str) -> None:
    neck = build(num_outputs=5, extra_levels=extra)
    sum(output.sum() for output in neck(features())).backward()
    assert all(parameter.grad is not None for parameter in neck.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start_level": 3}, "model.neck.start_level: 3 is not in 0..2"),
        ({"start_level": -1}, "start_level: -1 is not at least 0"),
        ({"num_outputs": 2}, "model.neck.num_outputs: 2 is fewer than the 3 backbone maps"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(**fields)


def test_a_map_of_one_cell_is_halved() -> None:
    """To itself, multiplied with the middle of the kernel; the rest of it has no gradient, also
    where memory was full of other numbers."""
    x, conv = torch.randn(2, 8, 1, 1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
    torch.testing.assert_close(halved(x, conv), conv(x))
    for _ in range(3):
        full = [torch.full((count,), torch.nan) for count in (100, 1000, 10_000, 100_000)]
        del full
        with torch.autocast("cpu", torch.bfloat16):
            out = halved(x, conv)
        (gradient,) = torch.autograd.grad(out.sum(), conv.weight)
        assert gradient[:, :, 1, 1].isfinite().all()
        gradient[:, :, 1, 1] = 0
        assert not gradient.any()
