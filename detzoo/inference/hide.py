"""Makes objects in pictures unrecognizable."""

from __future__ import annotations

import cv2
import numpy as np

from detzoo.inference.result import Result
from detzoo.structures import BitmapMasks

# The longer side of an object has so many blocks left, whatever its size.
_BLOCKS = 6


def hide(result: Result) -> np.ndarray:
    """A copy of the image (H, W, C) whose objects are blurred: their masks, or else their boxes.

    Each is reduced to a few blocks, from which nothing can be restored, and smoothed. Masks are
    widened a little, since their edges show who is there.
    """
    picture = result.image.copy()
    height, width = picture.shape[:2]
    masks = result.detections.masks
    bitmaps = masks.bitmaps.numpy() if isinstance(masks, BitmapMasks) else None
    for k, box in enumerate(result.boxes.tolist()):
        x1, y1 = (max(int(value), 0) for value in box[:2])
        x2, y2 = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
        if bitmaps is not None:
            size = max(x2 - x1, y2 - y1) // 20 + 1
            x1, y1 = max(x1 - size, 0), max(y1 - size, 0)
            x2, y2 = min(x2 + size, width), min(y2 + size, height)
        if x2 <= x1 or y2 <= y1:
            continue
        part = picture[y1:y2, x1:x2]
        blurred = _blurred(part)
        if bitmaps is None:
            part[:] = blurred
        else:
            around = np.ones((2 * size + 1, 2 * size + 1), np.uint8)
            where = cv2.dilate(np.ascontiguousarray(bitmaps[k, y1:y2, x1:x2]), around) > 0
            part[where] = blurred[where]
    return picture


def _blurred(part: np.ndarray) -> np.ndarray:
    height, width = part.shape[:2]
    block = max(max(height, width) / _BLOCKS, 1.0)
    few = max(round(width / block), 1), max(round(height / block), 1)
    # Area interpolation averages all pixels of a block.
    blocks = cv2.resize(part, few, interpolation=cv2.INTER_AREA)
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_LINEAR).reshape(part.shape)
