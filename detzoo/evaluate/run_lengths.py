"""Masks as run lengths, the form in which they are kept, compared and written to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as rle

from detzoo.errors import DataError
from detzoo.structures import BitmapMasks

Size = tuple[int, int]


@dataclass(frozen=True)
class RunLengths:
    """N masks of an image of ``size`` (height, width), each as COCO's compressed run lengths."""

    counts: tuple[str, ...]
    size: Size

    @classmethod
    def of(cls, masks: BitmapMasks) -> RunLengths:
        encoded = [
            rle.encode(np.asfortranarray(bitmap))["counts"].decode("ascii")
            for bitmap in masks.bitmaps.byte().cpu().numpy()
        ]
        return cls(tuple(encoded), masks.size)

    def __len__(self) -> int:
        return len(self.counts)

    def to_coco(self) -> list[dict[str, Any]]:
        """Per mask ``{"size": [height, width], "counts": text}``."""
        return [{"size": list(self.size), "counts": counts} for counts in self.counts]

    def areas(self) -> np.ndarray:
        """(N,) pixels inside."""
        return np.array([rle.area(mask) for mask in self.to_coco()], np.float64)

    def boxes(self) -> np.ndarray:
        """(N, 4) x, y, width, height of the tight boxes."""
        boxes = [rle.toBbox(mask) for mask in self.to_coco()]
        return np.array(boxes, np.float64).reshape(-1, 4)


def read_run_lengths(segmentations: Sequence[Any], places: Sequence[str], size: Size) -> RunLengths:
    """From what COCO files hold: compressed or plain run lengths, or polygons.

    ``size`` (height, width) is that of the image. ``places`` say in errors where each is from.
    Raises :class:`DataError` for a mask that is malformed or of another size.
    """
    height, width = size
    counts = []
    for segmentation, place in zip(segmentations, places):
        if isinstance(segmentation, dict):
            stated = segmentation.get("size")
            if list(stated or ()) != [height, width]:
                raise DataError(
                    f"{place}: its mask has the size {stated!r}, but the image is {height} high "
                    f"and {width} wide; the mask must be made for the original image"
                )
        try:
            encoded = rle.segmToRle(segmentation, width, height)
            rle.decode(encoded)  # what does not fill the image exactly is an error here
        except (ValueError, RuntimeError, TypeError, KeyError, IndexError) as error:
            raise DataError(
                f"{place}: its segmentation cannot be read ({str(error).splitlines()[0]}); give "
                "COCO run lengths with size and counts, or polygons"
            ) from None
        text = encoded["counts"]
        counts.append(text if isinstance(text, str) else text.decode("ascii"))
    return RunLengths(tuple(counts), size)
