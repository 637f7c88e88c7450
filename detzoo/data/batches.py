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


def batches_in_order(
    num_images: int, batch: int, rank: int = 0, world_size: int = 1
) -> list[list[Key]]:
    """Every image once; process ``rank`` takes every ``world_size``-th of them."""
    keys = [Key(index, 0) for index in range(rank, num_images, world_size)]
    return [keys[start : start + batch] for start in range(0, len(keys), batch)]


def grouped_batches(
    is_wide: np.ndarray,
    batch: int,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    repeats: int = 1,
) -> list[list[Key]]:
    """Shuffled batches of images that are all wide, or all not.

    ``is_wide`` (I,) bool. Each of the two groups is filled up to whole batches of all processes
    with images of its own, as MMDetection's sampler does; process ``rank`` takes its part of each.
    """
    # No image has the index I, so that this generator is not that of any image's transforms.
    rng = np.random.default_rng((seed, epoch, len(is_wide)))
    whole = batch * world_size
    rows = []
    for group in (False, True):
        members = np.flatnonzero(np.tile(is_wide, repeats) == group)
        if len(members) == 0:
            continue
        shuffled = rng.permutation(members)
        count = -(-len(members) // whole) * whole
        rows.append(np.resize(shuffled, count).reshape(-1, whole))
    order = rng.permutation(np.concatenate(rows))[:, rank * batch : (rank + 1) * batch]
    return [
        [Key(item % len(is_wide), epoch, item // len(is_wide)) for item in row]
        for row in order.tolist()
    ]
