"""Pictures of images with their objects and with what was detected in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from detzoo.data.dataset import DetectionDataset, MaskForm
from detzoo.errors import DataError
from detzoo.evaluate.results import ImageResult
from detzoo.inference.draw import draw, draw_targets
from detzoo.report import Picture
from detzoo.structures import Detections
from detzoo.values import Id, same

# Longer side of a picture, in pixels.
SIDE = 480
# A close-up shows so many times the size of a box, and at least this part of the image.
AROUND, LEAST_PART = 3.0, 1 / 3
_WHITE, _RED = (255, 255, 255), (0, 0, 255)


@dataclass(frozen=True)
class Album:
    """The images of a data set; ``results`` and positions are those of the ground truth's images,
    whose ids are ``image_ids``."""

    dataset: DetectionDataset
    results: Sequence[ImageResult]
    image_ids: Sequence[Id]
    class_names: Sequence[str]

    def pair(self, image: int, min_score: float, caption: str) -> list[Picture]:
        """An image with its objects, and again with the detections from ``min_score`` on; none if
        it cannot be read."""
        try:
            drawn = self.drawn(image, min_score)
        except DataError:
            return []
        captions = (self.path(image), caption)
        return [Picture.of(_fitted(one), text) for one, text in zip(drawn, captions)]

    def drawn(self, image: int, min_score: float) -> tuple[np.ndarray, np.ndarray]:
        """An image with its objects, and with the detections from ``min_score`` on, (H, W, 3) BGR.

        Raises :class:`DataError` if it cannot be read.
        """
        sample = self.dataset.sample(self._index(image), self._masks)
        found = self._detections(image, min_score)
        own = draw_targets(sample.image, sample.targets, self.dataset.class_names)
        return own, draw(sample.image, found, self.class_names)

    def path(self, image: int) -> str:
        """The file of an image."""
        return self.dataset.path(self._index(image))

    def close_up(self, image: int, box: np.ndarray, caption: str) -> list[Picture]:
        """What is around a ``box`` (4,) x, y, width, height: the objects that are annotated there,
        and the box itself in red."""
        index = self._index(image)
        try:
            sample = self.dataset.sample(index)
        except DataError:
            return []
        picture = draw_targets(sample.image, sample.targets, self.dataset.class_names)
        corners = np.concatenate([box[:2], box[:2] + box[2:]]).round().astype(int).tolist()
        thickness = max(2, round(max(picture.shape[:2]) / 250))
        for color, width in ((_WHITE, 2 * thickness), (_RED, thickness)):
            cv2.rectangle(picture, corners[:2], corners[2:], color, width)
        view = _around(picture, box)
        return [Picture.of(_fitted(view), f"{caption}  ({self.dataset.path(index)})")]

    @property
    def _masks(self) -> MaskForm:
        return "none" if all(result.masks is None for result in self.results) else "bitmap"

    def _index(self, image: int) -> int:
        """The position in the data set of the ground truth's image."""
        return self._index_of[same(self.image_ids[image])]

    @cached_property
    def _index_of(self) -> dict[object, int]:
        return {same(self.dataset.image_id(i)): i for i in range(len(self.dataset))}

    @cached_property
    def _result_of(self) -> dict[object, ImageResult]:
        return {same(result.image_id): result for result in self.results}

    def _detections(self, image: int, min_score: float) -> Detections:
        result = self._result_of.get(same(self.image_ids[image]))
        return Detections.empty() if result is None else result.to_detections(min_score)


def _around(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a picture around a box."""
    whole = np.array(picture.shape[1::-1], float)  # width, height
    sides = np.minimum(np.maximum(box[2:] * AROUND, whole * LEAST_PART), whole)
    near = np.clip(box[:2] + box[2:] / 2 - sides / 2, 0, whole - sides)
    left, top, right, bottom = np.concatenate([near, near + sides]).round().astype(int).tolist()
    return picture[top:bottom, left:right]


def _fitted(picture: np.ndarray) -> np.ndarray:
    scale = SIDE / max(picture.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=method)
