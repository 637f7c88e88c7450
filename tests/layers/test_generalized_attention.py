from __future__ import annotations

import math

import torch
from torch import Tensor

from detzoo.layers.generalized_attention import GeneralizedAttention


def attention() -> GeneralizedAttention:
    layer = GeneralizedAttention(8, num_heads=3, key_stride=2)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return layer.double()


def way(layer: torch.nn.Linear, distance: float) -> Tensor:
    angles = [distance / 1000 ** (wave / 2) for wave in range(2)]
    waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return layer.weight @ torch.tensor(waves, dtype=torch.double) / math.sqrt(2)


def slow(layer: GeneralizedAttention, x: Tensor) -> Tensor:
    """One image (C, S, S); cell by cell, head by head. Two channels per head of eight in three."""
    size = x.shape[1]
    query = torch.einsum("oc,cyx->oyx", layer.query_conv.weight[:, :, 0, 0], x)
    value = torch.einsum("oc,cyx->oyx", layer.value_conv.weight[:, :, 0, 0], x)
    keys = [(k, m) for k in range(0, size, 2) for m in range(0, size, 2)]
    gathered = torch.zeros_like(query)
    for head in (slice(0, 2), slice(2, 4), slice(4, 6)):
        for row in range(size):
            for column in range(size):
                own, mirrored = query[head, row, column], query[head, column, row]
                energy = [
                    own @ way(layer.appr_geom_fc_x, column - m)[head]
                    + mirrored @ way(layer.appr_geom_fc_y, row - k)[head]
                    for k, m in keys
                ]
                for weight, (k, m) in zip(torch.stack(energy).softmax(0), keys):
                    gathered[head, row, column] += weight * value[head, k, m]
    projected = torch.einsum("oc,cyx->oyx", layer.proj_conv.weight[:, :, 0, 0], gathered)
    assert layer.proj_conv.bias is not None
    return x + layer.gamma * (projected + layer.proj_conv.bias[:, None, None])


def test_equals_the_slow_one() -> None:
    layer = attention()
    for size in (5, 4):
        x = torch.randn(2, 8, size, size, dtype=torch.double)
        torch.testing.assert_close(layer(x), torch.stack([slow(layer, image) for image in x]))


def test_starts_as_the_identity() -> None:
    x = torch.randn(2, 8, 7, 7)
    assert torch.equal(GeneralizedAttention(8, num_heads=2, key_stride=2)(x), x)


def test_no_regions() -> None:
    layer = attention()
    out = layer(torch.zeros(0, 8, 7, 7, dtype=torch.double))
    assert out.shape == (0, 8, 7, 7)
    out.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in layer.parameters())
