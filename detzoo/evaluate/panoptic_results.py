"""Panoptic maps of a whole data set in memory, and COCO's format for storing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from detzoo.errors import DataError
from detzoo.files import write_json
from detzoo.structures import PanopticMap
from detzoo.values import Id


@dataclass(frozen=True)
class PanopticResult:
    """A :class:`PanopticMap` with its ids as a PNG, a hundredth of their size.

    ``labels``, ``is_thing`` and ``scores`` (S,) are those of the map.
    """

    png: bytes
    labels: np.ndarray
    is_thing: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, found: PanopticMap) -> PanopticResult:
        ids = found.ids.cpu().numpy()
        assert len(found) < 2**16, "an image has fewer segments"
        _, data = cv2.imencode(".png", ids.astype(np.uint16))
        return cls(
            data.tobytes(),
            found.labels.cpu().numpy(),
            found.is_thing.cpu().numpy(),
            found.scores.cpu().numpy().astype(np.float64),
        )

    def ids(self) -> np.ndarray:
        """(H, W) int32: 0, or k + 1 where segment k is."""
        data = np.frombuffer(self.png, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert pixels is not None, "this is a PNG of our own"
        return pixels.astype(np.int32)

    def to_map(self) -> PanopticMap:
        return PanopticMap(
            torch.from_numpy(self.ids()),
            torch.from_numpy(self.labels),
            torch.from_numpy(self.is_thing),
            torch.from_numpy(self.scores).float(),
        )


def color_of_ids(ids: np.ndarray) -> np.ndarray:
    """Ids (H, W) below 2**24 as pixels (H, W, 3) uint8 BGR: red + 256 green + 65,536 blue."""
    return np.stack([ids >> 16 & 255, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)


def segments_info(found: PanopticMap, category_ids: Sequence[Id | None]) -> list[dict[str, Any]]:
    """An entry of COCO's format for each segment whose class has a category.

    ``category_ids`` are those of things, then of stuff. ``score`` is a key that other tools ignore.
    """
    rows = zip(found.labels.tolist(), found.areas.tolist(), found.scores.tolist())
    return [
        {
            "id": k + 1,
            "category_id": category_ids[label],
            "bbox": list(cv2.boundingRect(found.mask(k).cpu().numpy().astype(np.uint8))),
            "area": area,
            "iscrowd": 0,
            "score": round(score, 5),
        }
        for k, (label, area, score) in enumerate(rows)
        if category_ids[label] is not None
    ]


def write_png(file: Path, found: PanopticMap, category_ids: Sequence[Id | None]) -> None:
    """Writes the map's ids as colors; segments of classes without a category become void.

    Raises :class:`DataError` if it cannot be written.
    """
    known = torch.tensor([category_ids[label] is not None for label in found.labels.tolist()])
    table = torch.cat([torch.zeros(1), (torch.arange(len(found)) + 1) * known.long()]).long()
    pixels = color_of_ids(table[found.ids.long()].numpy())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written ({error.strerror}). Give another path."
        ) from None


def write_panoptic(
    file: Path,
    results: Iterable[tuple[Id, str, PanopticResult]],
    category_ids: Sequence[Id | None],
) -> None:
    """Writes panoptic results in COCO's format: ``file``, and a folder of PNG files beside it that
    is called like it.

    ``results`` are the image's id, the name of its PNG file, and its segments. Raises
    :class:`DataError` if they cannot be written.
    """
    entries = []
    for image_id, name, result in results:
        found = result.to_map()
        write_png(file.with_suffix("") / name, found, category_ids)
        info = segments_info(found, category_ids)
        entries.append({"image_id": image_id, "file_name": name, "segments_info": info})
    write_json(file, {"annotations": entries})
