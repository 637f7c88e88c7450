"""Reading annotations in COCO's JSON format."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from detzoo.data.annotations import Annotation, Annotations, Strings
from detzoo.data.dataset import DetectionDataset, check_class_names
from detzoo.data.images import image_size
from detzoo.data.lvis import as_coco, federation_of, is_federated
from detzoo.errors import DataError
from detzoo.files import read_json
from detzoo.structures.segmentation import read_segmentation

Json = Any  # whatever a file may hold: nothing about it is trusted
Size = tuple[int, int]


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
) -> DetectionDataset:
    """The data set that ``annotation_file`` describes, with its images below ``image_dir``.

    Labels follow the order of the file's categories, or ``class_names``, matched by name as
    :meth:`DetectionDataset.select_classes` says. Missing ``info``, ``licenses``, ``area`` and
    ``iscrowd`` are fine, and so are image sizes, which are then read from the images. Files of LVIS
    are read too, see ``lvis.py``. Raises :class:`DataError`, naming the file and the entry, for
    anything that is not as the format says.
    """
    file = Path(annotation_file)
    dataset = parse_coco(load_coco(file), file, Path(image_dir))
    if class_names is None:
        return dataset
    return dataset.select_classes(class_names, drop_others=drop_others, allow_absent=allow_absent)


def parse_coco(content: dict[str, Json], file: Path, image_dir: Path) -> DetectionDataset:
    """:func:`read_coco` of the ``content`` that ``file`` holds."""
    federated = is_federated(content)
    if federated:
        content = as_coco(content, image_dir)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise DataError(
                f"{file}: has no list {key!r}, so it is not a COCO annotation file "
                "(it needs images, annotations and categories)."
            )
    category_ids, names = _categories(content["categories"], content["annotations"], file)
    image_ids, file_names, sizes = _images(content["images"], image_dir, file)
    if not image_ids:
        raise DataError(f"{file}: lists no images.")
    no_areas = _have_no_areas(content["annotations"])
    objects = _Objects(file, image_ids, sizes, category_ids, no_areas)
    annotations = Annotations.build(len(image_ids), objects.parse(content["annotations"]))
    numeric = all(type(identity) is int for identity in image_ids)
    return DetectionDataset(
        source=str(file),
        image_dir=str(image_dir),
        class_names=tuple(names),
        category_ids=tuple(category_ids),
        image_ids=torch.tensor(image_ids) if numeric else Strings.of(map(str, image_ids)),
        file_names=Strings.of(file_names),
        sizes=torch.tensor(sizes, dtype=torch.int64),
        annotations=annotations,
        notes=("all areas in the file are 0: computed from masks or boxes",) if no_areas else (),
        federation=federation_of(content, category_ids, file) if federated else None,
    )


def load_coco(file: Path) -> dict[str, Json]:
    """The outer object of a file in COCO's format, unchecked otherwise."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise DataError(
            f"{file}: holds a JSON {type(content).__name__} instead of an object with images, "
            "annotations and categories. Is it a file of detections?"
        )
    return content


def _categories(
    entries: list[Json], objects: list[Json], file: Path
) -> tuple[list[int], list[str]]:
    ids: list[int] = []
    names: list[str] = []
    for k, entry in enumerate(_without_group(entries, objects)):
        where = f"{file}: categories[{k}]"
        number, name = _field(entry, "id", where), _field(entry, "name", where)
        if type(number) is not int:
            raise DataError(f"{where}: its id {number!r} is not an integer.")
        if not isinstance(name, str):
            raise DataError(f"{where} (id {number}): its name {name!r} is not text.")
        if number in ids:
            raise DataError(
                f"{where}: the id {number} is that of {names[ids.index(number)]!r} too."
            )
        ids.append(number)
        names.append(name)
    check_class_names(names, f"{file}: categories")
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
        isinstance(item, dict) and item.get("category_id") == 0 for item in objects
    )
    return rest if is_group and not used else entries


def _images(
    entries: list[Json], image_dir: Path, file: Path
) -> tuple[list[int | str], list[str], list[Size]]:
    ids: list[int | str] = []
    names: list[str] = []
    sizes: list[Size] = []
    seen: set[int | str] = set()
    for k, entry in enumerate(entries):
        where = f"{file}: images[{k}]"
        identity, name = _field(entry, "id", where), _field(entry, "file_name", where)
        if type(identity) not in (int, str):
            raise DataError(f"{where}: its id {identity!r} is neither an integer nor text.")
        if identity in seen:
            raise DataError(f"{where}: the id {identity!r} occurs twice. Give each image its own.")
        if not isinstance(name, str) or not name:
            raise DataError(f"{where} (id {identity!r}): its file_name {name!r} is not a name.")
        seen.add(identity)
        ids.append(identity)
        names.append(name)
        height, width = entry.get("height"), entry.get("width")
        if height is None and width is None:
            height, width = image_size(image_dir / name)
        if not (type(height) is int and type(width) is int and height > 0 and width > 0):
            raise DataError(
                f"{where} (id {identity!r}): width {width!r} and height {height!r} are not "
                "positive integers."
            )
        sizes.append((height, width))
    return ids, names, sizes


def _have_no_areas(entries: list[Json]) -> bool:
    """Whether some tool has written 0 for the area of every object."""
    return len(entries) > 0 and all(
        isinstance(entry, dict) and type(entry.get("area")) in (int, float) and entry["area"] == 0
        for entry in entries
    )


class _Objects:
    """Parses annotations against the images and categories of their file."""

    def __init__(
        self,
        file: Path,
        image_ids: list[int | str],
        sizes: list[Size],
        category_ids: list[int],
        no_areas: bool,
    ) -> None:
        self.file = file
        self.no_areas = no_areas
        self.sizes = sizes
        self.image_of = {identity: i for i, identity in enumerate(image_ids)}
        self.label_of = {number: label for label, number in enumerate(category_ids)}

    def parse(self, entries: list[Json]) -> Iterator[Annotation]:
        seen: set[int] = set()
        for k, entry in enumerate(entries):
            number = _field(entry, "id", f"{self.file}: annotations[{k}]")
            where = f"{self.file}: annotation with id {number!r}"
            if type(number) is not int:
                raise DataError(f"{where}: the id is not an integer.")
            if number in seen:
                raise DataError(f"{where}: the id occurs twice. Give each annotation its own.")
            seen.add(number)
            yield self._object(number, entry, where)

    def _object(self, number: int, entry: dict[str, Json], where: str) -> Annotation:
        image_id, category = _field(entry, "image_id", where), _field(entry, "category_id", where)
        if not isinstance(image_id, (int, str)) or image_id not in self.image_of:
            raise DataError(f"{where}: no image has the image_id {image_id!r}.")
        if not isinstance(category, int) or category not in self.label_of:
            raise DataError(
                f"{where}: no category has the category_id {category!r} "
                f"(there are {_some(list(self.label_of))})."
            )
        image = self.image_of[image_id]
        box = _box(_field(entry, "bbox", where), where)
        size = self.sizes[image]
        mask = read_segmentation(entry.get("segmentation"), size, where)
        area = None if self.no_areas else entry.get("area")
        if area is None:
            area = box[2] * box[3] if mask.is_missing else mask.area(size)
        elif type(area) not in (int, float) or not math.isfinite(area):
            raise DataError(f"{where}: its area {area!r} is not a number.")
        return Annotation(
            image=image,
            id=number,
            label=self.label_of[category],
            box=box,
            area=area,
            is_crowd=_flag(entry, "iscrowd", where),
            is_ignored=_flag(entry, "ignore", where),
            polygons=mask.polygons,
            rle=mask.code,
        )


def _field(entry: Json, key: str, where: str) -> Json:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: is {entry!r} instead of an object.")
    if key not in entry:
        raise DataError(f"{where}: has no {key!r}.")
    return entry[key]


def _flag(entry: dict[str, Json], key: str, where: str) -> bool:
    value = entry.get(key, 0)
    if value not in (0, 1):
        raise DataError(f"{where}: its {key} {value!r} is neither 0 nor 1.")
    return bool(value)


def _box(value: Json, where: str) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4:
        raise DataError(f"{where}: its bbox {value!r} is not a list of x, y, width, height.")
    for number in value:
        if type(number) not in (int, float) or not math.isfinite(number):
            raise DataError(f"{where}: its bbox {value!r} holds {number!r}, which is not a number.")
    x, y, width, height = value
    return x, y, width, height


def _some(ids: list[int]) -> str:
    shown = ", ".join(map(str, ids[:10]))
    return shown if len(ids) <= 10 else f"{shown}, ..."
