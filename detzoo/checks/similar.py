"""Images that occur twice, within a split or across two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from detzoo.checks.finding import Finding, Place, Split, tally
from detzoo.checks.images import HASH_SIZE, ImageFile

# Bits of two perceptual hashes that may differ. Copies of another size, quality or brightness
# differ in fewer than 30 of 256, different photos and micrographs in 88 or more.
MOST_BITS = 40
# Rows compared at once, which bounds the memory.
_ROWS = 512


def check_similar(splits: Sequence[Split], files: Sequence[list[ImageFile]]) -> Iterator[Finding]:
    """Pairs of identical and of near-identical images.

    Each image is paired with the first one like it, so that n copies are n - 1 pairs.
    """
    places = [Place(split, i) for split in splits for i in range(len(split.dataset))]
    flat = [file for of_split in files for file in of_split]
    identical = _identical(flat)
    alike = {b: a for b, a in _alike(flat).items() if b not in identical}
    sizes = {split.name: len(split.dataset) for split in splits}
    for kind, pairs, what in (
        ("identical-images", identical, "identical"),
        ("similar-images", alike, "nearly identical"),
    ):
        groups: dict[tuple[str, str], list[Place]] = defaultdict(list)
        for second, first in pairs.items():
            a, b = places[first], places[second]
            groups[a.split.name, b.split.name].append(Place(a.split, a.image, twin=b))
        for (one, other), found in groups.items():
            if one == other:
                yield Finding(
                    kind,
                    "warning" if kind == "identical-images" else "info",
                    one,
                    tally(f"pairs of {what} images", len(found)),
                    "Keep one of each, and look whether both have the same objects.",
                    tuple(found),
                )
            else:
                yield Finding(
                    f"{kind}-across-splits",
                    "warning",
                    f"{one}, {other}",
                    tally(f"images of {other} {what} to images of {one}", len(found), sizes[other]),
                    f"Metrics on them are too good for a model that has seen {one}. Keep every "
                    "image in one split.",
                    tuple(found),
                )


def _identical(files: Sequence[ImageFile]) -> dict[int, int]:
    """The first file with the same bytes, of each that has one."""
    first: dict[bytes, int] = {}
    pairs = {}
    for k, file in enumerate(files):
        if file.digest and first.setdefault(file.digest, k) != k:
            pairs[k] = first[file.digest]
    return pairs


def _alike(files: Sequence[ImageFile]) -> dict[int, int]:
    """The first file that looks the same, of each that has one."""
    index = [k for k, file in enumerate(files) if file.looks is not None]
    bits = [file.looks for file in files if file.looks is not None]
    if not bits:
        return {}
    # Of vectors of -1 and 1, the product is the number of equal bits less that of different ones.
    signs = np.array(bits, np.float32) * 2 - 1
    pairs = {}
    for start in range(0, len(signs), _ROWS):
        rows = signs[start : start + _ROWS]
        same = rows @ signs[: start + len(rows)].T >= HASH_SIZE**2 - 2 * MOST_BITS
        first = same.argmax(1)  # at the latest, an image is like itself
        for k in np.flatnonzero(first < np.arange(start, start + len(rows))):
            pairs[index[start + k]] = index[first[k]]
    return pairs
