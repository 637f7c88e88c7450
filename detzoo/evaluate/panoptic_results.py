"""Panoptic maps of a whole data set in memory, and COCO's format for storing them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from detzoo.data.coco import load_coco, parse_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.coco_panoptic import is_panoptic, maps_of, things_of, with_maps
from detzoo.data.panoptic import read_ids
from detzoo.errors import DataError
from detzoo.files import write_json
from detzoo.structures import VOID, PanopticMap
from detzoo.values import Id, Json, as_integer, read_id, read_number, same


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
        assert len(found) < 2**16, "an image has fewer segments"
        return cls(
            _to_png(found.ids.cpu().numpy()),
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


def _to_png(ids: np.ndarray) -> bytes:
    return cv2.imencode(".png", ids.astype(np.uint16))[1].tobytes()


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


def read_panoptic_truth(file: Path) -> DetectionDataset:
    """Reads panoptic annotations in COCO's format, and neither their images nor masks of objects.

    The maps are opened when they are compared. Raises :class:`DataError`.
    """
    content = load_coco(file)
    if not is_panoptic(content):
        raise DataError(
            f"{file}: has no segments_info, so it is no file of panoptic annotations, which "
            "panoptic results are compared with."
        )
    things, maps, _ = things_of(content, file, with_masks=False)
    if maps is None:
        raise _no_maps(file)
    return with_maps(parse_coco(things, file, file.parent), content, maps)


def read_panoptic_results(file: Path, truth: DetectionDataset) -> dict[Id, PanopticResult]:
    """Reads panoptic results in COCO's format, as any program writes them, by the image's id.

    Categories are those of ``truth``, a data set with panoptic maps. Raises :class:`DataError` for
    an entry that is malformed or of an unknown image or category, and for a map that is missing or
    whose segments are not those of its entry.
    """
    content = load_coco(file)
    entries = content.get("annotations")
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise DataError(f"{file}: has no list 'annotations', as panoptic results have.")
    maps = maps_of(file, entries)
    if maps is None and entries:
        raise _no_maps(file)
    assert truth.panoptic is not None
    categories = (*truth.category_ids, *truth.panoptic.category_ids)
    label_of = {same(number): label for label, number in enumerate(categories)}
    images = {same(truth.image_id(i)): truth.image_id(i) for i in range(len(truth))}

    def read(k: int, entry: dict[str, Json]) -> tuple[Id, PanopticResult]:
        where = f"{file}: annotations[{k}]"
        image = read_id(entry, "image_id", where)
        if same(image) not in images:
            raise DataError(f"{where}: is for image {image!r:.60}, which {truth.source} lacks.")
        assert maps is not None
        result = _read_segments(entry, maps, label_of, len(truth.class_names), where)
        return images[same(image)], result

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        results = list(threads.map(read, range(len(entries)), entries))
    found = dict(results)
    if len(found) < len(results):
        raise DataError(f"{file}: has two entries for one image. Remove one of them.")
    return found


def _read_segments(
    entry: dict[str, Json], maps: Path, label_of: Mapping[str, int], num_things: int, where: str
) -> PanopticResult:
    segments, name = entry.get("segments_info"), entry.get("file_name")
    if not isinstance(segments, list) or not isinstance(name, str):
        raise DataError(f"{where}: needs a file_name and a list segments_info.")
    pixels = read_ids(maps / name)
    ids, labels, scores = [], [], []
    for k, segment in enumerate(segments):
        place = f"{where}: segments_info[{k}]"
        category = same(read_id(segment, "category_id", place))
        number = as_integer(segment.get("id"))
        if category not in label_of:
            raise DataError(f"{place}: no category has the category_id {category:.60}.")
        if number is None:
            raise DataError(f"{place}: its id {segment.get('id')!r:.60} is no color of a pixel.")
        ids.append(number)
        labels.append(label_of[category])
        scores.append(read_number(segment, "score", place) if "score" in segment else 1.0)
    numbers, place_of = np.unique(pixels, return_inverse=True)
    new_id = {VOID: 0, **{number: k + 1 for k, number in enumerate(ids)}}
    unknown = [number for number in numbers.tolist() if number not in new_id]
    absent = set(ids) - set(numbers.tolist())
    if unknown or absent or len(new_id) <= len(ids):
        what = (
            f"its map {name} has segment {unknown[0]}, which its segments_info lacks"
            if unknown
            else f"its map {name} has no pixel of segment {min(absent)}"
            if absent
            else "two of its segments have the same id"
        )
        raise DataError(f"{where}: {what}.")
    renumbered = np.array([new_id[number] for number in numbers.tolist()])[place_of]
    return PanopticResult(
        _to_png(renumbered.reshape(pixels.shape)),
        np.array(labels, np.int64),
        np.array(labels, np.int64) < num_things,
        np.array(scores, np.float64),
    )


def _no_maps(file: Path) -> DataError:
    return DataError(
        f"{file.with_suffix('')}: no such folder; it should hold the maps (PNG) of {file}."
    )
