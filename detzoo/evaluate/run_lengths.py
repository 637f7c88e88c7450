"""Masks as run lengths (RLE), in which they are stored, compared and written to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from faster_coco_eval.core import mask as rle

from detzoo.structures import BitmapMasks
from detzoo.structures.segmentation import encode_rle, read_mask

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
        """Converts each mask to ``{"size": [height, width], "counts": text}``."""
        return [{"size": list(self.size), "counts": counts} for counts in self.counts]

    def to_bitmaps(self) -> BitmapMasks:
        """The masks, pixel by pixel."""
        if not self.counts:
            return BitmapMasks(torch.zeros(0, *self.size, dtype=torch.bool))
        bitmaps = rle.decode(self.to_coco()).transpose(2, 0, 1).astype(bool)
        return BitmapMasks(torch.from_numpy(bitmaps))

    def areas(self) -> np.ndarray:
        """The area (N,) of each mask in pixels."""
        return np.array([rle.area(mask) for mask in self.to_coco()], np.float64)

    def boxes(self) -> np.ndarray:
        """Tight boxes (N, 4) x, y, width, height."""
        boxes = [rle.toBbox(mask) for mask in self.to_coco()]
        return np.array(boxes, np.float64).reshape(-1, 4)

    @classmethod
    def read(cls, segmentations: Sequence[Any], places: Sequence[str], size: Size) -> RunLengths:
        """Reads the segmentations of detections in COCO files: run lengths, compressed or not, or
        polygons.

        ``size`` (height, width) is that of the image. ``places`` name each one's origin in errors.
        Raises :class:`DataError` for a mask that is missing, malformed or of another size.
        """
        codes = (read_mask(value, size, place) for value, place in zip(segmentations, places))
        return cls(tuple(code.decode("ascii") for code in codes), size)
