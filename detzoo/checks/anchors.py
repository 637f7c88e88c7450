"""Anchors that fit the objects of a data set, by k-means or differential evolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import differential_evolution
from torch import Tensor

from detzoo.checks.priors import LEAST_OVERLAP, best_overlap
from detzoo.errors import DataError

Method = Literal["kmeans", "evolution"]
# k-means begins so often, with other objects; the best end counts.
RESTARTS, MOST_STEPS = 5, 300
# Evolution looks at so many objects at most.
MOST_OBJECTS = 20_000
POPULATION, GENERATIONS = 60, 200


@dataclass(frozen=True)
class Fit:
    """How well anchors fit objects, if both are concentric: the mean of each object's best IoU,
    and the part of the objects whose best IoU is below ``LEAST_OVERLAP``."""

    mean_iou: float
    unfit: float

    @classmethod
    def of(cls, sizes: Tensor, anchors: Tensor) -> Fit:
        """Of objects (N, 2) and anchors (A, 2), width and height."""
        best = best_overlap(sizes, anchors)
        return cls(float(best.mean()), float((best < LEAST_OVERLAP).double().mean()))


def fit_anchors(sizes: Tensor, count: int, method: Method = "kmeans", seed: int = 0) -> Tensor:
    """(count, 2) widths and heights of anchors for objects (N, 2), by area, in their pixels.

    "kmeans" clusters with the distance 1 - IoU (Redmon and Farhadi,
    https://arxiv.org/abs/1612.08242); "evolution" maximizes the mean of each object's best IoU
    (:func:`scipy.optimize.differential_evolution`) and takes longer. Raises :class:`DataError`
    where there are fewer objects than anchors.
    """
    sizes = sizes[(sizes > 0).all(1)].double()
    if len(sizes) < count:
        raise DataError(
            f"{len(sizes)} objects are too few for {count} anchors. Ask for fewer anchors."
        )
    rng = np.random.default_rng(seed)
    if method == "kmeans":
        ends = [_kmeans(sizes, count, rng) for _ in range(RESTARTS)]
        anchors = max(ends, key=lambda end: Fit.of(sizes, end).mean_iou)
    else:
        anchors = _evolve(sizes, count, rng)
    return anchors[anchors.prod(1).argsort()]


def _kmeans(sizes: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    anchors = sizes[torch.from_numpy(rng.choice(len(sizes), count, replace=False))]
    nearest = torch.full((len(sizes),), -1)
    for _ in range(MOST_STEPS):
        before, nearest = nearest, _nearest(sizes, anchors)
        if (nearest == before).all():
            break
        for k in range(count):
            mine = sizes[nearest == k]
            if len(mine):
                anchors[k] = mine.median(0).values
    return anchors


def _nearest(sizes: Tensor, anchors: Tensor) -> Tensor:
    """(N,) the anchor that each object overlaps most."""
    inter = torch.minimum(sizes[:, None], anchors).prod(2)
    iou = inter / (sizes.prod(1)[:, None] + anchors.prod(1) - inter)
    return iou.argmax(1)


def _evolve(sizes: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    shown = sizes
    if len(sizes) > MOST_OBJECTS:
        shown = sizes[torch.from_numpy(rng.choice(len(sizes), MOST_OBJECTS, replace=False))]
    # Sides are searched on a logarithmic scale, as they differ by factors.
    low, high = shown.min().log().item(), shown.max().log().item()
    start = _kmeans(shown, count, rng).log().flatten().clamp(low, high).numpy()

    # The clusters of k-means, and others around them.
    population = start + rng.normal(0, 0.2, (POPULATION, 2 * count))
    population[0] = start

    def loss(logarithms: np.ndarray) -> float:
        anchors = torch.from_numpy(np.exp(logarithms)).reshape(-1, 2)
        return -float(best_overlap(shown, anchors).mean())

    found = differential_evolution(
        loss,
        [(low, high + 1e-6)] * (2 * count),
        init=np.clip(population, low, high),
        maxiter=GENERATIONS,
        tol=1e-6,
        rng=rng,
        polish=False,
    )
    return torch.from_numpy(np.exp(found.x)).reshape(-1, 2)
