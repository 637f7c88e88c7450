"""Masks as run lengths: the form in which they are kept, compared and written to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as rle

from detzoo.errors import DataError
from detzoo.evaluate.ground_truth import numbers
from detzoo.structures import BitmapMasks
from detzoo.structures.masks import encode_rle

Size = tuple[int, int]


@dataclass(frozen=True)
class RunLengths:
    """N masks of an image of ``size`` (height, width) as COCO's compressed run lengths."""

    counts: tuple[str, ...]
    size: Size

    @classmethod
    def of(cls, masks: BitmapMasks) -> RunLengths:
        bitmaps = masks.bitmaps.byte().cpu().numpy()
        return cls(tuple(encode_rle(bitmap).decode("ascii") for bitmap in bitmaps), masks.size)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: np.ndarray) -> RunLengths:
        return RunLengths(tuple(self.counts[i] for i in index.tolist()), self.size)

    def to_coco(self) -> list[dict[str, Any]]:
        """``{"size": [height, width], "counts": text}`` for each mask."""
        return [{"size": list(self.size), "counts": counts} for counts in self.counts]

    def areas(self) -> np.ndarray:
        """(N,) the number of pixels of each mask."""
        return np.array([rle.area(mask) for mask in self.to_coco()], np.float64)

    def boxes(self) -> np.ndarray:
        """(N, 4) x, y, width, height of the tight boxes."""
        boxes = [rle.toBbox(mask) for mask in self.to_coco()]
        return np.array(boxes, np.float64).reshape(-1, 4)


def read_run_lengths(segmentations: Sequence[Any], places: Sequence[str], size: Size) -> RunLengths:
    """Reads the segmentations of COCO files: compressed or plain run lengths, or polygons.

    ``size`` (height, width) is that of the image; ``places`` name the source of each mask in
    errors. Raises :class:`DataError` for masks that are malformed or of another size.
    """
    counts = []
    for segmentation, place in zip(segmentations, places):
        problem = _problem(segmentation, size)
        if problem is not None:
            raise DataError(
                f"{place}: has an invalid segmentation ({problem}); give COCO run lengths with "
                "size and counts, or polygons, in pixels of the original image"
            )
        text = rle.segmToRle(segmentation, size[1], size[0])["counts"]
        counts.append(text if isinstance(text, str) else text.decode("ascii"))
    return RunLengths(tuple(counts), size)


def _problem(segmentation: Any, size: Size) -> str | None:
    """What is wrong with a segmentation for an image of ``size``, or None.

    The library does not check: run lengths that do not fill the image make it loop forever.
    """
    height, width = size
    if height == 0 or width == 0:
        return "the annotations do not give the height and width of its image"
    if isinstance(segmentation, dict):
        if segmentation.get("size") not in ([height, width], (height, width)):
            return (
                f"its size is {segmentation.get('size')!r}, but the image is {height} high and "
                f"{width} wide"
            )
        runs = _runs(segmentation.get("counts"))
        if runs is None or (runs < 0).any():
            return f"its counts are {segmentation.get('counts')!r:.60}"
        if runs.sum() != height * width:
            return f"its counts cover {runs.sum()} pixels of {height * width}"
        return None
    if not isinstance(segmentation, list) or not segmentation:
        return f"it is {segmentation!r:.60}"
    for polygon in segmentation:
        count = len(polygon) if isinstance(polygon, list) else 0
        if count < 6 or count % 2 or numbers(polygon, count) is None:
            return f"{polygon!r:.60} is not a polygon of three or more points x, y"
    return None


def _runs(counts: Any) -> np.ndarray | None:
    """Decodes plain or compressed run lengths; None if they are malformed.

    When compressed, a number is a sequence of characters with five bits each, lowest first, and a
    sixth bit if more follow, in two's complement; from the fourth number on, it is the difference
    to the number two before.
    """
    if isinstance(counts, list):
        is_plain = all(type(count) is int and abs(count) < 2**31 for count in counts)
        return np.array(counts, np.int64) if is_plain else None
    if not isinstance(counts, str) or not counts.isascii():
        return None
    bits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(bits & 32 == 0)
    if len(ends) == 0 or ends[-1] != len(bits) - 1 or bits.min() < 0 or bits.max() > 63:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    digit = np.arange(len(bits)) - np.repeat(starts, ends - starts + 1)
    if digit.max() > 7:  # beyond any image, and soon beyond 64 bits
        return None
    runs = np.add.reduceat((bits & 31) << 5 * digit, starts)
    runs -= np.where(bits[ends] & 16, 1 << 5 * (digit[ends] + 1), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
