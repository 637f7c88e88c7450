"""Which images make which batch: pure functions of the epoch and the process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Key:
    """One appearance of an image: its ``index``, in pass ``repeat`` over the data of ``epoch``."""

    index: int
    epoch: int
    repeat: int = 0


def batches_by_size(
    sizes: np.ndarray, batch: int, rank: int = 0, world_size: int = 1
) -> list[list[Key]]:
    """Every image once; process ``rank`` takes every ``world_size``-th of them.

    Images share a batch only where their ``sizes`` (I, 2) are the same: what a detector finds in
    one that is padded for the sake of another depends on it. A batch comes as soon as it is full.
    """
    waiting: dict[tuple[int, ...], list[Key]] = {}
    batches = []
    for index in range(rank, len(sizes), world_size):
        group = waiting.setdefault(tuple(sizes[index]), [])
        group.append(Key(index, 0))
        if len(group) == batch:
            batches.append(waiting.pop(tuple(sizes[index])))
    return batches + list(waiting.values())


def grouped_batches(
    is_wide: np.ndarray,
    batch: int,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    copies: np.ndarray | None = None,
) -> list[list[Key]]:
    """Shuffled batches of images that are all wide, or all not.

    ``is_wide`` (I,) bool; ``copies`` (I,) how often each image appears in an epoch. Each of the
    two groups is filled up to whole batches of all processes with images of its own, as
    MMDetection's sampler does; process ``rank`` takes its part of each.
    """
    # No image has the index I, so that this generator is not that of any image's transforms.
    rng = np.random.default_rng((seed, epoch, len(is_wide)))
    whole = batch * world_size
    copies = np.ones(len(is_wide), np.int64) if copies is None else copies
    passes = np.arange(copies.max(initial=0))
    repeat, index = np.nonzero(passes[:, None] < copies)
    rows = []
    for group in (False, True):
        members = np.flatnonzero(is_wide[index] == group)
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
    """How often each image appears in an epoch so that rare classes are seen more often -> (I,).

    ``image`` and ``label`` (N,) of all objects. A class in the part f of the images is repeated by
    ``max(1, sqrt(threshold / f))``, an image like the rarest of its classes, rounded up. LVIS,
    https://arxiv.org/abs/1908.03195.
    """
    pairs = np.unique(np.stack([image, label]), axis=1)  # of an image and a class that it shows
    frequency = np.bincount(pairs[1]) / num_images
    wanted = np.sqrt(threshold / frequency[pairs[1]])
    repeats = np.ones(num_images)
    np.maximum.at(repeats, pairs[0], wanted)
    return np.ceil(repeats).astype(np.int64)
