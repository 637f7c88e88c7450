"""The things of COCO's panoptic annotations (https://cocodataset.org/#format-data) as objects."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detzoo.data.formats.base import counted
from detzoo.data.formats.image_files import folders_below, locate_images
from detzoo.data.images import read_image
from detzoo.errors import DataError
from detzoo.structures.segmentation import encode_rle

Json = Any  # whatever a file may hold: nothing about it is trusted


def is_panoptic(content: dict[str, Json]) -> bool:
    """Whether a file in COCO's format has an entry per image instead of one per object."""
    entries = content.get("annotations")
    first = entries[0] if isinstance(entries, list) and entries else None
    return isinstance(first, dict) and "segments_info" in first


def things_of(content: dict[str, Json], file: Path) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The same content with an entry per thing, and notes. Stuff is left out.

    Masks are those of the PNG files in the folder that is called like ``file``; without it, there
    are boxes only. Raises :class:`DataError` for a malformed entry or a PNG that is missing.
    """
    categories = content.get("categories")
    categories = [c for c in categories if _is_thing(c)] if isinstance(categories, list) else []
    things = [category.get("id") for category in categories]
    entries = content["annotations"]
    for k, entry in enumerate(entries):
        segments = entry.get("segments_info") if isinstance(entry, dict) else None
        if not isinstance(segments, list) or not all(isinstance(s, dict) for s in segments):
            raise DataError(f"{file}: annotations[{k}]: its segments_info is no list of objects.")
    maps = _maps(file, entries)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        masks = list(threads.map(lambda entry: _masks(entry, things, maps, file), entries))
    objects: list[Json] = []
    for entry, own_masks in zip(entries, masks):
        for segment, mask in zip(entry["segments_info"], own_masks):
            if segment.get("category_id") in things:
                own = {"id": len(objects) + 1, "image_id": entry.get("image_id")}
                objects.append({**segment, **own, "segmentation": mask})
    stuff = sum(len(entry["segments_info"]) for entry in entries) - len(objects)
    notes = [f"{counted(stuff, 'segment')} of stuff left out"] if stuff else []
    if maps is None:
        notes.append(f"no folder {file.with_suffix('')} of panoptic maps: boxes without masks")
    return {**content, "categories": categories, "annotations": objects}, tuple(notes)


def _is_thing(category: Json) -> bool:
    return isinstance(category, dict) and bool(category.get("isthing", 1))


def _maps(file: Path, entries: list[Json]) -> Path | None:
    """The folder of PNG files."""
    names = [str(entry.get("file_name")) for entry in entries[:1]]
    around = [folder for folder in folders_below(file.parent) if "panoptic" in folder.name]
    located = locate_images(names, [file.with_suffix(""), *around])
    return None if located is None else located.folder


def _masks(entry: dict[str, Json], things: list[Json], maps: Path | None, file: Path) -> list[Json]:
    """The run lengths of the things among the segments of one image; None for stuff.

    The id of a pixel is its red, plus 256 times its green, plus 65,536 times its blue.
    """
    segments = entry["segments_info"]
    if maps is None:
        return [None] * len(segments)
    name = entry.get("file_name")
    if not isinstance(name, str) or not os.path.isfile(maps / name):
        raise DataError(
            f"{file}: the panoptic map {name!r:.60} of image {entry.get('image_id')!r:.60} is not "
            f"in {maps}."
        )
    pixels = read_image(maps / name).astype(np.int64)
    ids = pixels[..., 2] + 256 * pixels[..., 1] + 65536 * pixels[..., 0]
    masks: list[Json] = []
    for segment in segments:
        mask = np.zeros((0, 0), np.uint8)
        if segment.get("category_id") in things and type(segment.get("id")) is int:
            mask = (ids == segment["id"]).astype(np.uint8)
        has_any = mask.size > 0 and cv2.countNonZero(mask) > 0
        counts = encode_rle(mask).decode("ascii") if has_any else ""
        masks.append({"size": list(ids.shape), "counts": counts} if counts else None)
    return masks
