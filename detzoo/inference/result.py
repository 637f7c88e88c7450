"""The detections in one image with class names, for display and serialization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from detzoo.evaluate.run_lengths import RunLengths
from detzoo.inference.draw import draw
from detzoo.structures import BitmapMasks, Detections


@dataclass(frozen=True)
class Result:
    """N objects in one image, sorted by score in descending order, in pixels of the image.

    ``image`` (H, W, 3) is the input, uint8 BGR; ``path`` is empty if it was not read from a file.
    ``class_names`` are those of the checkpoint. ``tracks`` (N,) int64 are the numbers that objects
    keep through a video, -1 for those that have none yet; None where nothing was tracked.
    """

    detections: Detections
    class_names: tuple[str, ...]
    image: np.ndarray
    path: str = ""
    tracks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.detections)

    @property
    def boxes(self) -> Tensor:
        """Boxes (N, 4), xyxy."""
        return self.detections.boxes

    @property
    def scores(self) -> Tensor:
        """Scores (N,), between 0 and 1."""
        return self.detections.scores

    @property
    def labels(self) -> Tensor:
        """Labels (N,): indices into ``class_names``."""
        return self.detections.labels

    @property
    def names(self) -> list[str]:
        """The class names of the N objects."""
        return [self.class_names[label] for label in self.labels.tolist()]

    @property
    def masks(self) -> Tensor | None:
        """Masks (N, H, W) bool, if the detector predicts them, otherwise None."""
        masks = self.detections.masks
        return masks.bitmaps.bool() if isinstance(masks, BitmapMasks) else None

    def draw(self) -> np.ndarray:
        """A copy of the image with masks, boxes, names and scores; (H, W, 3) uint8 BGR."""
        return draw(self.image, self.detections, self.class_names, self.tracks)

    def to_json(self) -> dict[str, Any]:
        """For ``json.dump``: boxes are x1, y1, x2, y2; masks are COCO RLE."""
        masks: Sequence[Any] = [None] * len(self)
        if isinstance(self.detections.masks, BitmapMasks):
            masks = RunLengths.of(self.detections.masks).to_coco()
        tracks: list[dict[str, Any]] = [{}] * len(self)
        if self.tracks is not None:
            tracks = [{"track": None if one < 0 else one} for one in self.tracks.tolist()]
        rows = zip(self.names, self.scores.tolist(), self.boxes.tolist(), masks, tracks)
        return {
            "image": self.path,
            "height": self.image.shape[0],
            "width": self.image.shape[1],
            "detections": [
                {
                    "class": name,
                    "score": round(score, 5),
                    "box": [round(value, 2) for value in box],
                    **track,
                    **({} if mask is None else {"mask": mask}),
                }
                for name, score, box, mask, track in rows
            ],
        }

    @property
    def stem(self) -> str:
        """The file name without its extension, for naming outputs."""
        return Path(self.path).stem or "image"
