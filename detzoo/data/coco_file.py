"""Checks the entries of an annotation file in COCO's format, for training and evaluation alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from detzoo.data.reading import entry
from detzoo.errors import DataError
from detzoo.values import (
    Box,
    Id,
    Json,
    Size,
    as_integer,
    as_number,
    check_class_names,
    read_box,
    read_field,
    read_flag,
    read_id,
    read_number,
    read_size,
    same,
)

# A note for the user.
NO_AREAS = "all areas in the file are 0: computed from masks or boxes"


@dataclass(frozen=True)
class CocoImage:
    """``file_name`` and ``size`` are None where the file does not give them."""

    id: Id
    file_name: str | None
    size: Size | None
    where: str


class CocoObject(NamedTuple):
    """``entry``, ``image`` and ``label`` are positions among the annotations, images and
    categories; ``area`` is None where the file does not give it. The ``segmentation`` is as the
    file has it, unchecked."""

    entry: int
    image: int
    label: int
    box: Box
    area: float | None
    is_crowd: bool
    is_ignored: bool
    segmentation: Json
    where: str


class CocoFile:
    """The images, categories and objects of ``content``, what the JSON file ``source`` holds.

    Ids are matched as :mod:`detzoo.values` says. ``has_no_areas`` says that some tool has written 0
    for the area of every object: all of them are unknown then. ``left_out`` are the ids of images
    that a caller has taken out of ``images``. Raises :class:`DataError`, naming ``source`` and the
    entry.
    """

    def __init__(self, content: Json, source: str) -> None:
        content = require_object(content, source)
        for key in ("images", "annotations", "categories"):
            if not isinstance(content.get(key), list):
                hint = " To detect in images alone: detzoo test --image-list FILE."
                raise DataError(
                    f"{source}: has no list {key!r}, so it is not a COCO annotation file (it needs "
                    f"images, annotations and categories).{hint if key == 'annotations' else ''}"
                )
        self.source = source
        self.entries: list[Json] = content["annotations"]
        self.categories = _without_group(content["categories"], self.entries)
        self.category_ids, self.class_names = read_classes(self.categories, source)
        self.content = content
        self.images = _images(content["images"], source)
        self.left_out: set[str] = set()
        self.has_no_areas = _have_no_areas(self.entries)

    def objects(self) -> Iterator[CocoObject]:
        image_of = {same(image.id): i for i, image in enumerate(self.images)}
        label_of = {same(number): label for label, number in enumerate(self.category_ids)}
        one = entry()
        for k, content in enumerate(self.entries):
            with one:
                where = f"{self.source}: annotations[{k}]"
                if isinstance(content, dict) and "id" in content:
                    where = f"{self.source}: annotation with id {content['id']!r:.60}"
                image_id = read_id(content, "image_id", where)
                category = read_id(content, "category_id", where)
                image, label = image_of.get(same(image_id)), label_of.get(same(category))
                if image is None and same(image_id) in self.left_out:
                    continue
                if image is None:
                    raise DataError(f"{where}: no image has the image_id {image_id!r:.60}.")
                if label is None:
                    raise DataError(
                        f"{where}: no category has the category_id {category!r:.60} "
                        f"(there are {some(self.category_ids)})."
                    )
                has_area = not self.has_no_areas and content.get("area") is not None
                yield CocoObject(
                    entry=k,
                    image=image,
                    label=label,
                    box=read_box(content, "bbox", where),
                    area=read_number(content, "area", where) if has_area else None,
                    is_crowd=read_flag(content, "iscrowd", where),
                    is_ignored=read_flag(content, "ignore", where),
                    segmentation=content.get("segmentation"),
                    where=where,
                )

    def object_ids(self) -> dict[int, Id]:
        """The id of each entry. Evaluation works without them."""
        ids: dict[int, Id] = {}
        seen: set[str] = set()
        one = entry()
        for k, content in enumerate(self.entries):
            with one:
                identity = read_id(content, "id", f"{self.source}: annotations[{k}]")
                if same(identity) in seen:
                    raise DataError(
                        f"{self.source}: annotation with id {identity!r:.60}: the id occurs twice. "
                        "Give each annotation its own."
                    )
                seen.add(same(identity))
                ids[k] = identity
        return ids


def require_object(content: Json, source: str) -> dict[str, Json]:
    """``content`` if it may be that of a file in COCO's format."""
    if not isinstance(content, dict):
        raise DataError(
            f"{source}: holds a JSON {type(content).__name__} instead of an object with images, "
            "annotations and categories. Is it a file of detections?"
        )
    return content


def some(ids: Sequence[Id]) -> str:
    """The first ten, for messages."""
    shown = ", ".join(map(str, ids[:10]))
    return shown if len(ids) <= 10 else f"{shown}, ..."


def read_classes(entries: list[Json], source: str) -> tuple[list[Id], list[str]]:
    """The ids and names of the ``categories`` of the file ``source``. Raises :class:`DataError`."""
    name_of: dict[str, str] = {}
    ids: list[Id] = []
    one = entry()
    for k, content in enumerate(entries):
        with one:
            where = f"{source}: categories[{k}]"
            identity, name = read_id(content, "id", where), read_field(content, "name", where)
            if type(name) is int:
                name = str(name)
            if not isinstance(name, str):
                raise DataError(
                    f"{where} (id {identity!r:.60}): its name {name!r:.60} is not text."
                )
            key = same(identity)
            if key in name_of:
                raise DataError(
                    f"{where}: the id {identity!r:.60} is that of {name_of[key]!r} too."
                )
            name_of[key] = name
            ids.append(identity)
    names = list(name_of.values())
    check_class_names(names, f"{source}: categories")
    return ids, names


def _without_group(entries: list[Json], objects: list[Json]) -> list[Json]:
    """Leaves out the entry that Roboflow writes for the group of all classes: id 0, no objects."""
    if len(entries) < 2 or not all(isinstance(entry, dict) for entry in entries):
        return entries
    first, rest = entries[0], entries[1:]
    is_group = (
        first.get("id") == 0
        and first.get("supercategory") == "none"
        and all(entry.get("supercategory") == first.get("name") for entry in rest)
    )
    used = is_group and any(
        isinstance(item, dict) and as_integer(item.get("category_id")) == 0 for item in objects
    )
    return rest if is_group and not used else entries


def _images(entries: list[Json], source: str) -> list[CocoImage]:
    images: list[CocoImage] = []
    seen: set[str] = set()
    one = entry()
    for k, content in enumerate(entries):
        with one:
            where = f"{source}: images[{k}]"
            identity = read_id(content, "id", where)
            if same(identity) in seen:
                raise DataError(
                    f"{where}: the id {identity!r:.60} occurs twice. Give each image its own."
                )
            seen.add(same(identity))
            where = f"{where} (id {identity!r:.60})"
            name = content.get("file_name")
            if name is not None and not (isinstance(name, str) and name):
                raise DataError(f"{where}: its file_name {name!r:.60} is not a name.")
            images.append(CocoImage(identity, name, read_size(content, where), where))
    return images


def _have_no_areas(entries: list[Json]) -> bool:
    return len(entries) > 0 and all(
        isinstance(entry, dict) and as_number(entry.get("area")) == 0 for entry in entries
    )
