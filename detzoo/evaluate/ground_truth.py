"""The ground truth, in the form that all evaluators use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detzoo.errors import DataError
from detzoo.files import read_json

if TYPE_CHECKING:
    from detzoo.data.dataset import DetectionDataset

ImageId = int | str


@dataclass(frozen=True)
class Federation:
    """What the annotators of each image looked for (LVIS).

    Per image, ``absent`` holds the labels known not to be there, and ``partial`` those that are not
    annotated exhaustively. Per class, ``frequency`` is "r" (rare), "c" (common) or "f" (frequent).
    """

    absent: tuple[frozenset[int], ...]
    partial: tuple[frozenset[int], ...]
    frequency: tuple[str, ...]


@dataclass(frozen=True)
class GroundTruth:
    """N annotations of I images in C classes, as flat arrays.

    Per annotation: ``image`` (N,) and ``label`` (N,), the indices of its image and class; ``boxes``
    (N, 4) x, y, width, height float64 in original pixels; ``area`` (N,) of the object in square
    pixels; ``is_crowd`` (N,); ``is_ignored`` (N,), marked as not to be evaluated;
    ``segmentations``, polygons or run lengths as in COCO files, or None. Per image, in order of id:
    ``image_ids``; ``image_sizes`` (I, 2) height, width, 0 if unknown; ``paths`` of the files. Per
    class: ``class_names`` and ``category_ids``. ``federation`` if images are not annotated for
    every class. ``source`` is the file to name in error messages.
    """

    image_ids: tuple[ImageId, ...]
    image_sizes: np.ndarray
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    segmentations: tuple[Any, ...]
    source: str = "ground truth"
    paths: tuple[str, ...] = ()
    federation: Federation | None = None

    @classmethod
    def of(cls, dataset: DetectionDataset) -> GroundTruth:
        """The ground truth of a whole data set."""
        truth = cls.from_coco(dataset.to_coco(), dataset.source)
        path_of = {dataset.image_id(i): dataset.path(i) for i in range(len(dataset))}
        return replace(truth, paths=tuple(path_of[image] for image in truth.image_ids))

    @classmethod
    def from_coco(cls, data: Mapping[str, Any], source: str = "ground truth") -> GroundTruth:
        """From a data set in COCO format: ``images``, ``annotations``, ``categories``.

        ``area`` defaults to that of the box, ``iscrowd`` to 0. Raises :class:`DataError` naming
        ``source`` and the invalid entry.
        """
        images = _entries(data, "images", source)
        categories = _entries(data, "categories", source)
        annotations = _entries(data, "annotations", source)
        _index(images, "images", source)
        # The official tool ranks detections of equal score by the id of their image.
        images = sorted(images, key=lambda image: (type(image["id"]).__name__, image["id"]))
        image_index = {image["id"]: i for i, image in enumerate(images)}
        label_of = _index(categories, "categories", source)
        names = [
            str(_value(c, "name", f"categories[{i}]", source)) for i, c in enumerate(categories)
        ]
        for name in names:
            if names.count(name) > 1:
                raise DataError(
                    f"{source}: two categories are called {name!r}; classes are matched by name, "
                    "so rename or merge them"
                )
        rows = [
            _row(annotation, f"annotations[{i}]", image_index, label_of, source)
            for i, annotation in enumerate(annotations)
        ]
        image, label, boxes, area, crowd, ignored = zip(*rows) if rows else ((),) * 6
        return cls(
            image_ids=tuple(image_index),
            image_sizes=np.array([_size(i, source) for i in images], np.int64).reshape(-1, 2),
            class_names=tuple(names),
            category_ids=tuple(label_of),
            image=np.array(image, np.int64),
            label=np.array(label, np.int64),
            boxes=np.array(boxes, np.float64).reshape(-1, 4),
            area=np.array(area, np.float64),
            is_crowd=np.array(crowd, bool),
            is_ignored=np.array(ignored, bool),
            segmentations=tuple(a.get("segmentation") or None for a in annotations),
            source=source,
            paths=tuple(str(image.get("file_name", "")) for image in images),
            federation=_federation(images, categories, label_of, source),
        )

    def __len__(self) -> int:
        return len(self.image)

    @property
    def has_masks(self) -> bool:
        """Whether there are annotations, and all have masks."""
        return len(self) > 0 and all(mask is not None for mask in self.segmentations)

    def image_indices(self, image_ids: Sequence[ImageId]) -> np.ndarray:
        """(I,) the position of each image. Raises :class:`DataError` for an unknown image."""
        position = {image_id: i for i, image_id in enumerate(self.image_ids)}
        for image_id in image_ids:
            if image_id not in position:
                raise DataError(
                    f"{self.source}: has no image {image_id!r}, for which there are detections; "
                    "evaluate them with the annotations of the same images"
                )
        return np.array([position[image_id] for image_id in image_ids], np.int64)

    def labels_of(self, class_names: Sequence[str]) -> np.ndarray:
        """(C,) the label here of each of a detector's classes, -1 for unknown ones."""
        known = {name: label for label, name in enumerate(self.class_names)}
        return np.array([known.get(name, -1) for name in class_names], np.int64)

    def shared_labels(self, class_names: Sequence[str]) -> list[int]:
        """Labels of the classes that a detector has, too. Raises :class:`DataError` if there are
        none."""
        labels = sorted({int(label) for label in self.labels_of(class_names) if label >= 0})
        if not labels:
            raise DataError(
                f"{self.source}: has none of the detector's classes: it has "
                f"{', '.join(self.class_names)}, and the detector {', '.join(class_names)}; rename "
                "the classes so that they match"
            )
        return labels

    def category_ids_of(self, class_names: Sequence[str]) -> tuple[int | None, ...]:
        """The category id here of each of a detector's classes, None for unknown ones."""
        labels = self.labels_of(class_names).tolist()
        return tuple(None if label < 0 else self.category_ids[label] for label in labels)


def read_ground_truth(path: str | Path) -> GroundTruth:
    """Reads a COCO annotation file, without its images. Raises :class:`DataError`."""
    data = read_json(path)
    if isinstance(data, list):
        raise DataError(
            f"{path}: is a list, so it seems to hold detections instead of annotations; "
            "give the detections first, then the annotations"
        )
    if not isinstance(data, dict):
        raise DataError(f"{path}: is not a COCO annotation file, which must hold a JSON object")
    return GroundTruth.from_coco(data, str(path))


def _entries(data: Mapping[str, Any], key: str, source: str) -> list[Mapping[str, Any]]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise DataError(
            f"{source}: has no list {key!r}; COCO annotations hold images, annotations and "
            "categories"
        )
    for i, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise DataError(f"{source}: {key}[{i}] is {entry!r} instead of a JSON object")
    return entries


def _index(entries: list[Mapping[str, Any]], key: str, source: str) -> dict[Any, int]:
    """The position of each id."""
    index: dict[Any, int] = {}
    for i, entry in enumerate(entries):
        identity = _id(entry, "id", f"{key}[{i}]", source)
        if index.setdefault(identity, i) != i:
            raise DataError(
                f"{source}: {key}[{i}] has the same id as {key}[{index[identity]}], {identity!r}; "
                "give each its own"
            )
    return index


def _federation(
    images: list[Mapping[str, Any]],
    categories: list[Mapping[str, Any]],
    label_of: Mapping[int, int],
    source: str,
) -> Federation | None:
    """What the annotators looked for, if the file says so, as in LVIS."""
    if not any("neg_category_ids" in image for image in images):
        return None
    lists = []
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        for image in images:
            unknown = [number for number in image.get(key, ()) if number not in label_of]
            if unknown:
                raise DataError(
                    f"{source}: image {image['id']!r} lists {unknown[0]!r} in {key}, which is not "
                    "the id of a category; add the category or remove the id"
                )
        lists.append(tuple(frozenset(label_of[n] for n in image.get(key, ())) for image in images))
    absent, partial = lists
    return Federation(absent, partial, tuple(str(c.get("frequency", "f")) for c in categories))


def _size(image: Mapping[str, Any], source: str) -> list[float]:
    """Height and width, 0 if not given: only masks need them."""
    stated = [image.get("height") or 0, image.get("width") or 0]
    size = numbers(stated, 2)
    if size is None:
        raise DataError(
            f"{source}: image {image['id']!r} has the height {stated[0]!r} and the width "
            f"{stated[1]!r}; give both in pixels, or omit them if there are no masks"
        )
    return size


def _row(
    annotation: Mapping[str, Any],
    where: str,
    image_index: Mapping[ImageId, int],
    label_of: Mapping[int, int],
    source: str,
) -> tuple[int, int, list[float], float, bool, bool]:
    image_id = _id(annotation, "image_id", where, source)
    category_id = _id(annotation, "category_id", where, source)
    if image_id not in image_index:
        raise DataError(
            f"{source}: {where} belongs to image {image_id!r}, which is not among the images; "
            "add the image or remove the annotation"
        )
    if category_id not in label_of:
        raise DataError(
            f"{source}: {where} has the category {category_id!r}, which is not among the "
            "categories; add the category or remove the annotation"
        )
    box = numbers(_value(annotation, "bbox", where, source), 4)
    if box is None:
        raise DataError(
            f"{source}: {where} has the bbox {annotation['bbox']!r}; it must be four numbers: "
            "x, y, width, height"
        )
    area = numbers([annotation.get("area", box[2] * box[3])], 1)
    if area is None:
        raise DataError(
            f"{source}: {where} has the area {annotation['area']!r}; make it a number, or omit "
            "it to use that of the box"
        )
    crowd, ignored = bool(annotation.get("iscrowd", 0)), bool(annotation.get("ignore", 0))
    return image_index[image_id], label_of[category_id], box, area[0], crowd, ignored


def numbers(value: Any, count: int) -> list[float] | None:
    """``value`` as ``count`` finite floats, or None if it is anything else."""
    if not isinstance(value, (list, tuple)) or len(value) != count:
        return None
    for item in value:
        if isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item):
            return None
    return [float(item) for item in value]


def _id(entry: Mapping[str, Any], key: str, where: str, source: str) -> Any:
    value = _value(entry, key, where, source)
    if type(value) not in (int, str):
        raise DataError(
            f"{source}: {where} has the {key} {value!r}; it must be a number or a string"
        )
    return value


def _value(entry: Mapping[str, Any], key: str, where: str, source: str) -> Any:
    if key not in entry:
        raise DataError(f"{source}: {where} has no {key!r}; add it")
    return entry[key]
