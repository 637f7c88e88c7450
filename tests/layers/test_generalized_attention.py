from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from detzoo.layers.generalized_attention import (
    GeneralizedAttention,
    GeneralizedAttentionConfig,
    Term,
)


def attention(*terms: Term) -> GeneralizedAttention:
    layer = GeneralizedAttentionConfig(terms=terms, num_heads=3).build(8)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return layer.double()


def way(layer: torch.nn.Linear, distance: float) -> Tensor:
    angles = [distance / 1000 ** (wave / 2) for wave in range(2)]
    waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return layer.weight @ torch.tensor(waves, dtype=torch.double) / math.sqrt(2)


def slow(layer: GeneralizedAttention, x: Tensor) -> Tensor:
    """One image (C, H, W); cell by cell, head by head. Two channels per head of eight in three."""
    terms = layer.config.terms
    height, width = x.shape[1:]

    def seen(name: str) -> Tensor:
        return torch.einsum("oc,cyx->oyx", getattr(layer, name).weight[:, :, 0, 0], x)

    value = seen("value_conv")
    keys = [(k, m) for k in range(0, height, 2) for m in range(0, width, 2)]
    gathered = torch.zeros_like(value)
    for head in (slice(0, 2), slice(2, 4), slice(4, 6)):
        for row in range(height):
            for column in range(width):
                energy = torch.zeros(len(keys), dtype=x.dtype)
                for n, (k, m) in enumerate(keys):
                    if "query_key" in terms:
                        own = seen("query_conv")[head, row, column]
                        energy[n] += own @ seen("key_conv")[head, k, m]
                    if "key" in terms:
                        energy[n] += layer.appr_bias[head] @ seen("key_conv")[head, k, m]
                    if "query_position" in terms:
                        own = seen("query_conv")[head, row, column]
                        # By itself, this term takes the queries along y transposed.
                        along_y = own
                        if "position" not in terms:
                            along_y = seen("query_conv")[head, column, row]
                        energy[n] += own @ way(layer.appr_geom_fc_x, column - m)[head]
                        energy[n] += along_y @ way(layer.appr_geom_fc_y, row - k)[head]
                    if "position" in terms:
                        offset = way(layer.appr_geom_fc_x, column - m)
                        offset = offset + way(layer.appr_geom_fc_y, row - k)
                        energy[n] += layer.geom_bias[head] @ offset[head]
                for weight, (k, m) in zip(energy.softmax(0), keys):
                    gathered[head, row, column] += weight * value[head, k, m]
    projected = torch.einsum("oc,cyx->oyx", layer.proj_conv.weight[:, :, 0, 0], gathered)
    assert layer.proj_conv.bias is not None
    return x + layer.gamma * (projected + layer.proj_conv.bias[:, None, None])


@pytest.mark.parametrize(
    "terms",
    [("query_position",), ("key",), ("position",), ("query_key", "key"), get_args(Term)],
    ids="+".join,
)
def test_equals_the_slow_one(terms: tuple[Term, ...]) -> None:
    layer = attention(*terms)
    # The query's content with positions alone only works on square maps, as it was trained.
    for size in ((4, 4), (3, 3) if terms == ("query_position",) else (3, 5)):
        x = torch.randn(2, 8, *size, dtype=torch.double)
        with torch.no_grad():
            torch.testing.assert_close(layer(x), torch.stack([slow(layer, image) for image in x]))


def test_starts_as_the_identity() -> None:
    x = torch.randn(2, 8, 7, 7)
    assert torch.equal(GeneralizedAttentionConfig(num_heads=2).build(8)(x), x)


def test_no_regions() -> None:
    layer = attention("query_position")
    out = layer(torch.zeros(0, 8, 7, 7, dtype=torch.double))
    assert out.shape == (0, 8, 7, 7)
    out.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in layer.parameters())
