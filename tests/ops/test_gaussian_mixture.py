from __future__ import annotations

import math

import numpy as np
import torch

from detzoo.ops.gaussian_mixture import split_in_two


def slow(values: list[float]) -> tuple[list[bool], list[float]]:
    """Expectation maximization of one set, as it is written in textbooks."""
    x = np.array(values, dtype=np.float64)
    mean, variance, share = np.array([x.min(), x.max()]), np.ones(2), np.full(2, 0.5)

    def densities() -> np.ndarray:
        distance = (x[:, None] - mean) ** 2
        return share * np.exp(-distance / variance / 2) / np.sqrt(2 * math.pi * variance)

    previous = -math.inf
    for _ in range(100):
        density = densities()
        average = np.log(density.sum(1)).mean()
        member = density / density.sum(1, keepdims=True)
        size = member.sum(0) + 10 * np.finfo(np.float64).eps
        mean = (member * x[:, None]).sum(0) / size
        variance = (member * (x[:, None] - mean) ** 2).sum(0) / size + 1e-6
        share = size / len(x)
        if abs(average - previous) < 1e-3:
            break
        previous = average
    density = densities()
    return (density[:, 0] >= density[:, 1]).tolist(), np.log(density.sum(1)).tolist()


def test_equals_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [
        torch.cat([torch.rand(low, generator=generator), 3 + torch.rand(high, generator=generator)])
        for low, high in ((4, 6), (1, 9), (2, 1), (7, 0))
    ]
    table = torch.zeros(len(rows), 10)
    real = torch.zeros(len(rows), 10, dtype=torch.bool)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
        real[i, : len(row)] = True
    first, likelihood = split_in_two(table, real)
    for i, row in enumerate(rows):
        wanted_first, wanted_likelihood = slow(row.tolist())
        assert first[i, : len(row)].tolist() == wanted_first
        np.testing.assert_allclose(
            likelihood[i, : len(row)], wanted_likelihood, rtol=1e-4, atol=1e-4
        )


def test_two_clusters() -> None:
    values = torch.tensor([[0.1, 0.2, 0.3, 5.0, 5.1]])
    first, _ = split_in_two(values, torch.ones_like(values, dtype=torch.bool))
    assert first.tolist() == [[True, True, True, False, False]]


def test_no_sets() -> None:
    first, likelihood = split_in_two(torch.zeros(0, 5), torch.zeros(0, 5, dtype=torch.bool))
    assert first.shape == likelihood.shape == (0, 5)
