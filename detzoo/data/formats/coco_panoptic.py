"""COCO's panoptic annotations (https://cocodataset.org/#format-data): objects, and maps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from detzoo.data.annotations import Strings
from detzoo.data.coco_file import read_classes
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import counted
from detzoo.data.formats.image_files import folders_below, locate_images
from detzoo.data.panoptic import PanopticMaps, read_ids
from detzoo.data.reading import entry
from detzoo.errors import DataError
from detzoo.structures.segmentation import encode_rle
from detzoo.values import (
    as_integer,
    check_class_names,
    read_flag,
    read_id,
    read_number,
    same,
)

Json = Any  # whatever a file may hold: nothing about it is trusted


def is_panoptic(content: dict[str, Json]) -> bool:
    """Whether a file in COCO's format has an entry per image instead of one per object."""
    entries = content.get("annotations")
    first = entries[0] if isinstance(entries, list) and entries else None
    return isinstance(first, dict) and "segments_info" in first


def things_of(
    content: dict[str, Json], file: Path, *, with_masks: bool = True
) -> tuple[dict[str, Json], Path | None, tuple[str, ...]]:
    """The same content with an entry per thing, the folder of panoptic maps, and notes.

    Masks are those of the PNG files in the folder that is called like ``file``; without it, there
    are boxes only, and stuff is left out. Without ``with_masks``, no PNG file is opened. Raises
    :class:`DataError` for a malformed entry or a PNG that is missing.
    """
    categories = content.get("categories")
    categories = [c for c in categories if is_thing(c)] if isinstance(categories, list) else []
    things = [category.get("id") for category in categories]
    one, whole = entry(), []
    for k, image in enumerate(content["annotations"]):
        with one:
            segments = image.get("segments_info") if isinstance(image, dict) else None
            if not isinstance(segments, list) or not all(isinstance(s, dict) for s in segments):
                where = f"{file}: annotations[{k}]"
                raise DataError(f"{where}: its segments_info is no list of objects.")
            whole.append(image)
    maps = maps_of(file, whole)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        source = maps if with_masks else None
        found = [threads.submit(_masks, image, things, source, file) for image in whole]
    entries, masks = [], []
    for image, result in zip(whole, found):
        with one:
            masks.append(result.result())
            entries.append(image)
    objects: list[Json] = []
    for image, own_masks in zip(entries, masks):
        for segment, mask in zip(image["segments_info"], own_masks):
            if segment.get("category_id") in things:
                own = {"id": len(objects) + 1, "image_id": image.get("image_id")}
                objects.append({**segment, **own, "segmentation": mask})
    notes = []
    if maps is None:
        stuff = sum(len(image["segments_info"]) for image in entries) - len(objects)
        notes = [f"{counted(stuff, 'segment')} of stuff left out"] if stuff else []
        notes.append(f"no folder {file.with_suffix('')} of panoptic maps: boxes without masks")
    images = _without_images_of(content, entries)
    things_alone = {"categories": categories, "annotations": objects, "images": images}
    return {**content, **things_alone}, maps, tuple(notes)


def _without_images_of(content: dict[str, Json], kept: list[Json]) -> Json:
    """The images without those whose entries are not among the ``kept`` ones."""
    known = {str(one.get("image_id")) for one in kept}
    dicts = [one for one in content["annotations"] if isinstance(one, dict)]
    lost = {str(one.get("image_id")) for one in dicts} - known
    images = content.get("images")
    if not lost or not isinstance(images, list):
        return images
    return [one for one in images if not (isinstance(one, dict) and str(one.get("id")) in lost)]


def with_maps(dataset: DetectionDataset, content: dict[str, Json], maps: Path) -> DetectionDataset:
    """``dataset``, which has the things of ``content``, with the maps of its images in ``maps``.

    Segments without pixels are left out. Raises :class:`DataError` for malformed entries, an image
    without a map, and classes that are called alike.
    """
    source = dataset.source
    categories = [c for c in content["categories"] if not is_thing(c)]
    stuff_ids, stuff_names = read_classes(categories, source)
    check_class_names((*dataset.class_names, *stuff_names), f"{source}: categories")
    thing_of = {same(number): label for label, number in enumerate(dataset.category_ids)}
    stuff_of = {same(number): label for label, number in enumerate(stuff_ids)}
    dicts = [one for one in content["annotations"] if isinstance(one, dict)]
    entry_of = {str(one.get("image_id")): one for one in dicts}
    kept, files, counts = [], [], []
    segments: list[tuple[int, int, bool, bool]] = []
    for i in range(len(dataset)):
        with entry():
            image_id = same(dataset.image_id(i))
            if image_id not in entry_of:
                raise DataError(
                    f"{source}: image {image_id:.60} has no entry among the annotations. Add it, "
                    "or remove the image."
                )
            where = f"{source}: image {image_id:.60}"
            own = list(_segments(entry_of[image_id], thing_of, stuff_of, where))
            kept.append(i)
            files.append(str(maps / entry_of[image_id]["file_name"]))
            counts.append(len(own))
            segments += own
    if len(kept) < len(dataset):
        dataset = dataset.take(kept)
    columns = torch.tensor(segments, dtype=torch.int64).reshape(-1, 4)
    panoptic = PanopticMaps(
        files=Strings.of(files),
        stuff_names=tuple(stuff_names),
        category_ids=tuple(stuff_ids),
        offsets=torch.tensor([0, *counts]).cumsum(0),
        ids=columns[:, 0],
        labels=columns[:, 1],
        is_thing=columns[:, 2].bool(),
        is_crowd=columns[:, 3].bool(),
    )
    return replace(dataset, panoptic=panoptic)


def _segments(
    image: dict[str, Json], thing_of: dict[str, int], stuff_of: dict[str, int], where: str
) -> Iterator[tuple[int, int, bool, bool]]:
    """Id, label, whether it is a thing and a crowd, of each segment with pixels."""
    for k, segment in enumerate(image["segments_info"]):
        place = f"{where}: segments_info[{k}]"
        number = as_integer(segment.get("id"))
        if number is None or not 0 < number < 256**3:
            raise DataError(f"{place}: its id {segment.get('id')!r:.60} is no color of a pixel.")
        category = same(read_id(segment, "category_id", place))
        if category not in thing_of and category not in stuff_of:
            raise DataError(f"{place}: no category has the category_id {category}.")
        if segment.get("area") is not None and read_number(segment, "area", place) <= 0:
            continue
        is_thing = category in thing_of
        label = thing_of[category] if is_thing else stuff_of[category]
        yield number, label, is_thing, read_flag(segment, "iscrowd", place)


def is_thing(category: Json) -> bool:
    """Whether a category is one of objects; those of files without stuff do not say so."""
    return isinstance(category, dict) and bool(category.get("isthing", 1))


def maps_of(file: Path, entries: list[Json]) -> Path | None:
    """The folder of the PNG files that ``entries``, those of ``file``, name."""
    names = [str(image.get("file_name")) for image in entries[:100]]
    around = [folder for folder in folders_below(file.parent) if "panoptic" in folder.name]
    located = locate_images(names, [file.with_suffix(""), *around])
    return None if located is None else located.folder


def _masks(image: dict[str, Json], things: list[Json], maps: Path | None, file: Path) -> list[Json]:
    """The run lengths of the things among the segments of one image; None for stuff."""
    segments = image["segments_info"]
    if maps is None:
        return [None] * len(segments)
    name = image.get("file_name")
    if not isinstance(name, str) or not os.path.isfile(maps / name):
        raise DataError(
            f"{file}: the panoptic map {name!r:.60} of image {image.get('image_id')!r:.60} is not "
            f"in {maps}."
        )
    ids = read_ids(maps / name)
    masks: list[Json] = []
    for segment in segments:
        mask = np.zeros((0, 0), np.uint8)
        if segment.get("category_id") in things and type(segment.get("id")) is int:
            mask = (ids == segment["id"]).astype(np.uint8)
        has_any = mask.size > 0 and cv2.countNonZero(mask) > 0
        counts = encode_rle(mask).decode("ascii") if has_any else ""
        masks.append({"size": list(ids.shape), "counts": counts} if counts else None)
    return masks
