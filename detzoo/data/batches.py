"""The order of images and batches, as pure functions of the epoch and the process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Key:
    """One occurrence of image ``index``: in pass ``repeat`` over the data in ``epoch``."""

    index: int
    epoch: int
    repeat: int = 0


def batches_in_order(
    num_images: int, batch: int, rank: int = 0, world_size: int = 1
) -> list[list[Key]]:
    """All images once, in order; process ``rank`` gets every ``world_size``-th of them."""
    keys = [Key(index, 0) for index in range(rank, num_images, world_size)]
    return [keys[start : start + batch] for start in range(0, len(keys), batch)]


def grouped_batches(
    is_landscape: np.ndarray,
    batch: int,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    copies: np.ndarray | None = None,
) -> list[list[Key]]:
    """Shuffled batches whose images are all in landscape or all in portrait format.

    ``is_landscape`` (I,) bool; ``copies`` (I,) is how often each image occurs in an epoch. Either
    group is filled up to whole batches of all processes with images of its own, as MMDetection's
    sampler does; process ``rank`` gets its part of each batch.
    """
    # No image has the index I, so this generator differs from those of the images' transforms.
    rng = np.random.default_rng((seed, epoch, len(is_landscape)))
    whole = batch * world_size
    copies = np.ones(len(is_landscape), np.int64) if copies is None else copies
    passes = np.arange(copies.max(initial=0))
    repeat, index = np.nonzero(passes[:, None] < copies)
    rows = []
    for group in (False, True):
        members = np.flatnonzero(is_landscape[index] == group)
        if len(members) == 0:
            continue
        shuffled = rng.permutation(members)
        count = -(-len(members) // whole) * whole
        rows.append(np.resize(shuffled, count).reshape(-1, whole))
    order = rng.permutation(np.concatenate(rows))[:, rank * batch : (rank + 1) * batch]
    return [[Key(int(index[k]), epoch, int(repeat[k])) for k in row] for row in order.tolist()]


def copies_for_rare_classes(
    image: np.ndarray, label: np.ndarray, num_images: int, threshold: float
) -> np.ndarray:
    """Repeat factor sampling: how often each image occurs in an epoch -> (I,).

    ``image`` and ``label`` (N,) are those of all objects. A class in a fraction f of the images has
    the factor ``max(1, sqrt(threshold / f))``, an image the largest of its classes, rounded up.
    LVIS, https://arxiv.org/abs/1908.03195.
    """
    pairs = np.unique(np.stack([image, label]), axis=1)  # (image, class)
    frequency = np.bincount(pairs[1]) / num_images
    wanted = np.sqrt(threshold / frequency[pairs[1]])
    repeats = np.ones(num_images)
    np.maximum.at(repeats, pairs[0], wanted)
    return np.ceil(repeats).astype(np.int64)
