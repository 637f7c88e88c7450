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


def copies_by_class(
    image: np.ndarray, label: np.ndarray, num_images: int, total: int, *, seed: int, epoch: int
) -> np.ndarray:
    """Class-aware sampling: how often each image occurs in ``epoch`` -> (I,), ``total`` in all.

    ``image`` and ``label`` (N,) are those of all objects. Every class is drawn as often as any
    other, and of its images each as often as any other, up to one (https://arxiv.org/abs/1512.05830).
    """
    rng = np.random.default_rng((seed, epoch, num_images, 1))
    pairs = np.unique(np.stack([label, image]), axis=1)  # (class, image)
    classes, first = np.unique(pairs[0], return_index=True)
    images = np.split(pairs[1], first[1:])
    copies = np.zeros(num_images, np.int64)
    for own, count in zip(images, _shares(len(classes), total, rng)):
        copies[own] += _shares(len(own), int(count), rng)
    return copies


def _shares(parts: int, total: int, rng: np.random.Generator) -> np.ndarray:
    """``total`` in equal shares (parts,); what is left over goes to some of them at random."""
    shares = np.full(parts, total // parts)
    shares[rng.permutation(parts)[: total % parts]] += 1
    return shares
