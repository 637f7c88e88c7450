"""Reads and checks masks in COCO format: polygons or run lengths (RLE).

Run lengths count pixels outside and inside alternately, in column-major order. They are a list of
numbers or compressed text, in which each number is a sequence of characters with five bits each,
low bits first, and a sixth bit that marks continuation. Numbers are in two's complement; from the
fourth on, they are differences from the number before the previous one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from faster_coco_eval.core import mask as rle

from detzoo.errors import DataError
from detzoo.values import MOST_PIXELS, Json, Size, as_integer, as_numbers

# Numbers with more five-bit characters exceed any image, and soon 64 bits.
_MOST_CHARACTERS = 8
# In pixels.
_LONGEST_OUTLINE = 4 * MOST_PIXELS


@dataclass(frozen=True)
class Segmentation:
    """The mask of one object: ``polygons``, each a flat list x, y, x, y, ... in pixels, or the
    compressed run lengths ``code``. Both are empty for an object without a mask."""

    polygons: tuple[Sequence[float], ...] = ()
    code: bytes = b""

    @property
    def is_missing(self) -> bool:
        return not self.polygons and not self.code

    def encode(self, size: Size) -> bytes:
        """Converts to compressed run lengths in an image of ``size``; polygons become one mask."""
        if self.is_missing:
            return _compress([size[0] * size[1]], size)
        if self.code:
            return self.code
        code: bytes = rle.merge(rle.frPyObjects([list(p) for p in self.polygons], *size))["counts"]
        return code

    def area(self, size: Size) -> float:
        """The area in pixels, in an image of ``size``."""
        return float(rle.area({"size": list(size), "counts": self.encode(size)}))


NO_MASK = Segmentation()


def read_segmentation(value: Json, size: Size, where: str) -> Segmentation:
    """Reads and checks the "segmentation" of an object in an image of ``size``.

    There is no mask if ``value`` is None or empty, if its polygons have fewer than three points
    (the COCO tools interpret four numbers as a box), or if the mask of run lengths is empty. Points
    may also be pairs, [[x, y], ...]. Raises :class:`DataError`, starting with ``where``, for values
    that are malformed or for another image size.
    """
    if value is None or value in ([], {}):
        return NO_MASK
    try:
        if 0 in size:
            raise ValueError("the annotations do not give the height and width of its image")
        if isinstance(value, dict):
            code = _encode_run_lengths(value, size)
            return NO_MASK if is_missing(value) else Segmentation(code=code)
        return Segmentation(polygons=_polygons(value))
    except ValueError as problem:
        raise _unreadable(where, problem) from None


def read_mask(value: Json, size: Size, where: str) -> bytes:
    """Reads the "segmentation" of a detection in an image of ``size`` as compressed run lengths.

    The mask may be empty, but not missing. Raises :class:`DataError`, starting with ``where``.
    """
    try:
        if isinstance(value, dict) and 0 not in size:
            return _encode_run_lengths(value, size)
    except ValueError as problem:
        raise _unreadable(where, problem) from None
    segmentation = read_segmentation(value, size, where)
    if segmentation.is_missing:
        raise _unreadable(where, f"{value!r:.60} is not a mask")
    return segmentation.encode(size)


def _unreadable(where: str, problem: object) -> DataError:
    return DataError(
        f"{where}: its segmentation cannot be read ({problem}). Give COCO run lengths with size "
        "and counts, or polygons of three points or more, in pixels of the image file."
    )


def is_missing(value: Json) -> bool:
    """Whether a "segmentation" contains no mask. Malformed ones count as masks until read."""
    try:
        if isinstance(value, dict) and value:
            return not _counts(value.get("counts"))[1::2].any()
        return value is None or value in ([], {}) or not _polygons(value)
    except ValueError:
        return False


def _encode_run_lengths(value: dict[str, Json], size: Size) -> bytes:
    """Converts run lengths of a file, plain or compressed, to compressed ones.

    Raises :class:`ValueError` for run lengths that are malformed or do not fill an image of
    ``size``: decoders without this check return arbitrary masks, or loop forever.
    """
    height, width = size
    declared, counts = value.get("size"), value.get("counts")
    if not isinstance(declared, list | tuple) or [*map(as_integer, declared)] != [height, width]:
        raise ValueError(
            f"its size is {declared!r}, but the image is {height} high and {width} wide"
        )
    runs = _counts(counts)
    if runs.sum() != height * width:
        raise ValueError(f"its counts cover {runs.sum()} pixels of {height * width}")
    if isinstance(counts, str):
        return counts.encode("ascii")
    return _compress(runs.tolist(), size)


def _counts(counts: Json) -> np.ndarray:
    """Parses the "counts" of a file to run lengths (K,) int64. Raises :class:`ValueError`."""
    if isinstance(counts, list):
        runs = [n if type(n) is int else as_integer(n) for n in counts]
        if all(n is not None and 0 <= n < 2**31 for n in runs):
            return np.array(runs, np.int64)
    if isinstance(counts, str) and counts.isascii():
        return _run_lengths(counts.encode("ascii"))
    raise ValueError(f"its counts are {counts!r:.60}")


def _compress(runs: list[int], size: Size) -> bytes:
    code: bytes = rle.frPyObjects({"size": list(size), "counts": runs}, *size)["counts"]
    return code


def decode_rle(code: bytes, size: Size) -> np.ndarray:
    """Decodes compressed run lengths to (H, W) uint8, several times faster than the COCO tools."""
    height, width = size
    columns = np.zeros(height * width, np.uint8)
    if code:
        ends = _run_lengths(code).cumsum().tolist()
        for start, end in zip(ends[0::2], ends[1::2]):
            columns[start:end] = 1
    return cv2.transpose(columns.reshape(width, height))


def encode_rle(bitmap: np.ndarray) -> bytes:
    """Encodes a mask (H, W) uint8 as compressed run lengths; processes non-empty columns only."""
    height, width = bitmap.shape
    left, _, columns, _ = cv2.boundingRect(bitmap)
    pixels = np.zeros(
        height * columns + 2, bool
    )  # column-major, with an empty pixel before and after
    pixels[1:-1] = bitmap[:, left : left + columns].T.reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + left * height
    runs = np.diff(changes, prepend=0, append=height * width).tolist()
    if runs[-1] == 0:
        runs.pop()
    return _compress(runs, (height, width))


def _run_lengths(code: bytes) -> np.ndarray:
    """Decompresses run lengths to numbers (K,) int64. Raises :class:`ValueError`."""
    bits = np.frombuffer(code, np.uint8).astype(np.int64) - 48
    is_last = bits & 32 == 0
    last = np.flatnonzero(is_last)
    malformed = ValueError(f"its counts are {code.decode('latin-1')!r:.60}")
    if len(last) == 0 or last[-1] != len(bits) - 1 or bits.min() < 0 or bits.max() > 63:
        raise malformed
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(bits)) - np.repeat(first, last - first + 1)
    if place.max() >= _MOST_CHARACTERS:
        raise malformed
    runs = np.add.reduceat((bits & 31) << (5 * place), first)
    runs -= np.where(bits[last] & 16, 1 << (5 * (place[last] + 1)), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    if (runs < 0).any():
        raise malformed
    return runs


def _polygons(value: Json) -> tuple[Sequence[float], ...]:
    """Parses polygons, and returns those of three points or more. Raises :class:`ValueError`."""
    if not isinstance(value, list):
        raise ValueError(f"it is {value!r:.60}")
    if all(map(_is_pair, value)):  # one polygon with points as pairs
        value = [value]
    polygons = []
    for polygon in value:
        if isinstance(polygon, list) and polygon and all(map(_is_pair, polygon)):
            polygon = [number for point in polygon for number in point]
        numbers = _numbers(polygon) if isinstance(polygon, list) else None
        if numbers is None or len(numbers) % 2:
            raise ValueError(f"{polygon!r:.60} is not a polygon of points x, y")
        if len(numbers) >= 6:
            _check_extent(numbers)
            polygons.append(numbers)
    return tuple(polygons)


def _is_pair(point: Json) -> bool:
    return isinstance(point, list) and len(point) == 2 and not isinstance(point[0], list)


def _check_extent(polygon: Sequence[float]) -> None:
    """Raises :class:`ValueError` for polygons too large for an image: the COCO tools store every
    step along an outline.
    """
    low, high = min(polygon), max(polygon)
    if max(high, -low) > MOST_PIXELS:
        raise ValueError(f"{polygon!r:.60} has points far beyond any image")
    if len(polygon) * (high - low) > _LONGEST_OUTLINE:  # an upper bound
        points = np.array(polygon).reshape(-1, 2)
        length = np.abs(points - np.roll(points, 1, 0)).max(1).sum()
        if length > _LONGEST_OUTLINE:
            raise ValueError(f"its outline is {length:.0f} pixels long")


def _numbers(values: list[Json]) -> list[float] | None:
    """Converts all ``values``, numbers or their text, to finite floats. Fast for numbers, of which
    a data set has tens of millions.
    """
    try:
        if math.isfinite(sum(values)):
            return values
    except (TypeError, OverflowError):
        pass
    return as_numbers(values)
