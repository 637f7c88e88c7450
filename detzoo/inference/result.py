"""The detections in one image with class names, for display and serialization."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detzoo.evaluate.run_lengths import RunLengths
from detzoo.inference.draw import ColorBy, draw, draw_panoptic, write_picture
from detzoo.structures import BitmapMasks, Detections, PanopticMap


@dataclass(frozen=True)
class Result:
    """N objects in one image, sorted by score in descending order, in pixels of the image.

    ``image`` (H, W, 3) is the input, uint8 BGR; ``path`` is empty if it was not read from a file.
    ``class_names`` are those of the checkpoint, and ``stuff_names`` its classes without instances.
    ``tracks`` (N,) int64 are the numbers that objects keep through a video, -1 for those that have
    none yet; None where nothing was tracked.
    """

    detections: Detections
    class_names: tuple[str, ...]
    image: np.ndarray
    path: str = ""
    stuff_names: tuple[str, ...] = ()
    tracks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.detections)

    def __repr__(self) -> str:
        """What was found, without the pixels."""
        height, width = self.image.shape[:2]
        shown = [f"{name} {score:.2f}" for name, score in zip(self.names, self.scores.tolist())]
        more = [f"and {len(self) - 8} more"] if len(self) > 8 else []
        path = f"{self.path!r}, " if self.path else ""
        return f"Result({path}{width}x{height}: {', '.join(shown[:8] + more) or 'nothing'})"

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

    @property
    def panoptic(self) -> PanopticMap | None:
        """The segments of the whole image, if the model is a panoptic one, otherwise None."""
        panoptic = self.detections.panoptic
        return panoptic if isinstance(panoptic, PanopticMap) else None

    @property
    def segment_names(self) -> list[str]:
        """The class names of the segments; none without them."""
        names = (*self.class_names, *self.stuff_names)
        return [] if self.panoptic is None else [names[k] for k in self.panoptic.labels.tolist()]

    def draw(self, color_by: ColorBy = "class") -> np.ndarray:
        """A copy of the image with masks, boxes, names and scores, or with the segments of the
        whole image; (H, W, 3) uint8 BGR. A class has a color of its own, or by "instance" every
        object.
        """
        if self.panoptic is not None:
            return draw_panoptic(self.image, self.panoptic, self.segment_names, color_by)
        return draw(self.image, self.detections, self.class_names, self.tracks, color_by)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what :meth:`draw` returns to a file, in the format of its ending (.jpg, .png).

        Raises :class:`DataError` if that is impossible.
        """
        write_picture(Path(path), self.draw())

    def to_json(self) -> dict[str, Any]:
        """For ``json.dump``: boxes are x1, y1, x2, y2; masks are COCO RLE.

        Of a panoptic model there are also "segments" of things and stuff, which do not overlap.
        """
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
            **({} if self.panoptic is None else {"segments": self._segments(self.panoptic)}),
        }

    def _segments(self, found: PanopticMap) -> list[dict[str, Any]]:
        masks: Sequence[Any] = []
        if len(found):
            bitmaps = torch.stack([found.mask(k) for k in range(len(found))])
            masks = RunLengths.of(BitmapMasks(bitmaps.to(torch.uint8))).to_coco()
        rows = zip(
            self.segment_names,
            found.is_thing.tolist(),
            found.scores.tolist(),
            found.areas.tolist(),
            masks,
        )
        return [
            {
                "id": k,
                "class": name,
                "is_thing": is_thing,
                "score": round(score, 5),
                "area": area,
                "mask": mask,
            }
            for k, (name, is_thing, score, area, mask) in enumerate(rows, 1)
        ]

    @property
    def stem(self) -> str:
        """The file name without its extension, for naming outputs."""
        return Path(self.path).stem or "image"
