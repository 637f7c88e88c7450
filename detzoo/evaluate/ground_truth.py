"""The ground truth, in the format used by all evaluators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detzoo.data.coco_file import NO_AREAS, CocoFile, CocoObject
from detzoo.data.dataset import DetectionDataset
from detzoo.data.lvis import federation_of, is_federated
from detzoo.data.open_images import OpenImagesLabels
from detzoo.errors import DataError
from detzoo.files import read_json
from detzoo.structures.segmentation import is_missing, read_segmentation
from detzoo.values import Id, Json, same


@dataclass(frozen=True)
class Federation:
    """Which classes were annotated in each image (LVIS).

    Per image, ``absent`` contains the labels verified to be absent, and ``partial`` those that are
    not annotated exhaustively. Per class, ``frequency`` is "r" (rare), "c" (common) or "f"
    (frequent).
    """

    absent: tuple[frozenset[int], ...]
    partial: tuple[frozenset[int], ...]
    frequency: tuple[str, ...]


@dataclass(frozen=True)
class PanopticTruth:
    """The panoptic map of an image, in ``file``, and its S segments.

    ``ids`` (S,) are the values of their pixels, ``labels`` (S,) index the classes of things,
    followed by those of stuff, ``is_crowd`` (S,).
    """

    file: str
    ids: np.ndarray
    labels: np.ndarray
    is_crowd: np.ndarray

    @classmethod
    def of(cls, dataset: DetectionDataset, i: int) -> PanopticTruth:
        """That of image ``i``."""
        assert dataset.panoptic is not None
        columns = dataset.panoptic.segments(i, len(dataset.class_names))
        return cls(dataset.panoptic.files[i], *(column.numpy() for column in columns))


@dataclass(frozen=True)
class GroundTruth:
    """N annotations of I images in C classes, as flat arrays.

    Per annotation: ``image`` (N,) and ``label`` (N,), the indices of its image and class; ``boxes``
    (N, 4) x, y, width, height float64 in original pixels; ``area`` (N,) of the object in square
    pixels; ``is_crowd`` (N,); ``is_ignored`` (N,), marked as not to be evaluated;
    ``segmentations``, polygons or run lengths as in COCO files, or None. Per image, in order of id:
    ``image_ids``; ``image_sizes`` (I, 2) height, width, 0 if unknown; ``paths`` of the files. Per
    class: ``class_names`` and ``category_ids``. ``federation`` if images are not annotated for
    every class (LVIS), ``open_images`` likewise. ``panoptic`` if pixels are annotated, with the
    classes of stuff ``stuff_names``. ``source`` is the file named in error messages. ``notes`` tell
    the user what had to be guessed.
    """

    image_ids: tuple[Id, ...]
    image_sizes: np.ndarray
    class_names: tuple[str, ...]
    category_ids: tuple[Id, ...]
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
    open_images: OpenImagesLabels | None = None
    notes: tuple[str, ...] = ()
    panoptic: tuple[PanopticTruth, ...] = ()
    stuff_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: DetectionDataset) -> GroundTruth:
        """Returns the ground truth of an entire data set."""
        truth = cls.from_coco(dataset.to_coco(), dataset.source)
        place = {dataset.image_id(i): i for i in range(len(dataset))}
        order = [place[image] for image in truth.image_ids]
        truth = replace(truth, paths=tuple(dataset.path(i) for i in order))
        if dataset.open_images is not None:
            truth = replace(truth, open_images=dataset.open_images.take(torch.tensor(order)))
        if dataset.panoptic is None:
            return truth
        maps = tuple(PanopticTruth.of(dataset, i) for i in order)
        return replace(truth, panoptic=maps, stuff_names=dataset.stuff_names)

    @classmethod
    def from_coco(cls, data: Mapping[str, Any], source: str = "ground truth") -> GroundTruth:
        """Converts a data set in COCO format: ``images``, ``annotations``, ``categories``.

        ``area`` defaults to that of the mask, or of the box if there is none, ``iscrowd`` to 0.
        Raises :class:`DataError` naming ``source`` and the invalid entry.
        """
        file = CocoFile(data, source)
        # The official tool ranks detections of equal score by the id of their image.
        order = sorted(range(len(file.images)), key=lambda i: _rank(file.images[i].id))
        position = np.argsort(order)
        images = [file.images[i] for i in order]
        sizes = np.array([image.size or (0, 0) for image in images], np.int64).reshape(-1, 2)
        objects = list(file.objects())
        place = position[np.array([found.image for found in objects], np.int64)]
        masks = [None if is_missing(o.segmentation) else o.segmentation for o in objects]
        areas = [
            _area(found, mask, sizes[i]) if found.area is None else found.area
            for found, mask, i in zip(objects, masks, place)
        ]
        return cls(
            image_ids=tuple(image.id for image in images),
            image_sizes=sizes,
            class_names=tuple(file.class_names),
            category_ids=tuple(file.category_ids),
            image=place,
            label=np.array([found.label for found in objects], np.int64),
            boxes=np.array([found.box for found in objects], np.float64).reshape(-1, 4),
            area=np.array(areas, np.float64),
            is_crowd=np.array([found.is_crowd for found in objects], bool),
            is_ignored=np.array([found.is_ignored for found in objects], bool),
            segmentations=tuple(masks),
            source=file.source,
            paths=tuple(image.file_name or "" for image in images),
            federation=_federation(file, order),
            notes=(NO_AREAS,) if file.has_no_areas else (),
        )

    def __len__(self) -> int:
        return len(self.image)

    @property
    def has_masks(self) -> bool:
        """Whether any annotation has a mask."""
        return any(mask is not None for mask in self.segmentations)

    @property
    def num_without_mask(self) -> int:
        """The number of objects (not crowds) without a mask, if other objects have one."""
        if not self.has_masks:
            return 0
        pairs = zip(self.segmentations, self.is_crowd.tolist())
        return sum(mask is None and not crowd for mask, crowd in pairs)

    def image_indices(self, image_ids: Sequence[Id]) -> np.ndarray:
        """The indices (I,) of images. Raises :class:`DataError` for an unknown image."""
        position = {same(image_id): i for i, image_id in enumerate(self.image_ids)}
        for image_id in image_ids:
            if same(image_id) not in position:
                raise DataError(
                    f"{self.source}: has no image {image_id!r:.60}, for which there are "
                    "detections. Evaluate them with the annotations of the same images."
                )
        return np.array([position[same(image_id)] for image_id in image_ids], np.int64)

    def labels_of(self, class_names: Sequence[str]) -> np.ndarray:
        """The labels (C,) of a detector's classes in this ground truth, -1 for unknown ones."""
        known = {name: label for label, name in enumerate(self.class_names)}
        return np.array([known.get(name, -1) for name in class_names], np.int64)

    def shared_labels(self, class_names: Sequence[str]) -> list[int]:
        """The labels of the classes shared with a detector. Raises :class:`DataError` if there are
        none.
        """
        labels = sorted({int(label) for label in self.labels_of(class_names) if label >= 0})
        if not labels:
            raise DataError(
                f"{self.source}: has none of the detector's classes: it has "
                f"{', '.join(self.class_names)}, and the detector {', '.join(class_names)}; rename "
                "the classes so that they match"
            )
        return labels

    def category_ids_of(self, class_names: Sequence[str]) -> tuple[Id | None, ...]:
        """The category ids of a detector's classes in this ground truth, None for unknown ones."""
        labels = self.labels_of(class_names).tolist()
        return tuple(None if label < 0 else self.category_ids[label] for label in labels)


def read_ground_truth(path: str | Path) -> GroundTruth:
    """Reads a COCO annotation file, without its images. Raises :class:`DataError`."""
    content = read_json(path)
    if isinstance(content, list):
        raise DataError(
            f"{path}: is a list, so it seems to contain detections instead of annotations. Give "
            "the detections first, then the annotations."
        )
    return GroundTruth.from_coco(content, str(path))


def _rank(identity: Id) -> tuple[str, Id]:
    return type(identity).__name__, identity


def _federation(file: CocoFile, order: Sequence[int]) -> Federation | None:
    """Reads which classes were annotated in each image, if the file states it, as in LVIS."""
    if not is_federated(file.content):
        return None
    found = federation_of(file)
    absent, partial = (
        tuple(frozenset(lists[i]) for i in order) for lists in (found.absent, found.partial)
    )
    return Federation(absent, partial, found.frequency)


def _area(found: CocoObject, mask: Json, size: np.ndarray) -> float:
    """The area of the mask, or of the box if there is none or the image's ``size`` is unknown."""
    height, width = size.tolist()
    if mask is None or not height:
        return found.box[2] * found.box[3]
    return read_segmentation(mask, (height, width), found.where).area((height, width))
