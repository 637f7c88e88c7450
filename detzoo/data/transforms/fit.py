"""Resizing into a frame."""

from __future__ import annotations

from detzoo.config import config
from detzoo.data.transforms.resize import Resize
from detzoo.structures.images import Size


@config
class FitInside(Resize):
    """Resizes an image to the largest size that fits into a frame, regardless of orientation.

    ``sizes`` are those of frames: (width, height). Frames are not rotated: a portrait image also
    has to fit into a landscape frame.
    """

    def _fit(self, old: Size, target: tuple[int, int]) -> Size:
        if not self.keep_ratio:
            return super()._fit(old, target)
        scale = min(target[0] / old[1], target[1] / old[0])
        height, width = (max(int(side * scale + 0.5), 1) for side in old)
        return min(height, target[1]), min(width, target[0])
