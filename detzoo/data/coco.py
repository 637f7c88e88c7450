"""Reading annotations in COCO's JSON format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from detzoo.data.annotations import Annotation, Annotations, Strings, ids_of, notes_on_ignored
from detzoo.data.coco_file import NO_AREAS, CocoFile, require_object
from detzoo.data.dataset import DetectionDataset
from detzoo.data.images import image_size
from detzoo.data.lvis import as_coco, federation_of, is_federated
from detzoo.data.reading import FaultKind, entry, ignores_exif
from detzoo.errors import DataError
from detzoo.files import read_json
from detzoo.structures.segmentation import read_segmentation
from detzoo.values import Json, Size, same


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
    dataset = parse_coco(load_coco(Path(annotation_file)), Path(annotation_file), Path(image_dir))
    if class_names is None:
        return dataset
    return dataset.select_classes(class_names, drop_others=drop_others, allow_absent=allow_absent)


def parse_coco(content: dict[str, Json], source: Path, image_dir: Path) -> DetectionDataset:
    """:func:`read_coco` of the ``content`` that the file ``source`` holds."""
    federated = is_federated(content)
    if federated:
        content = as_coco(content, image_dir)
    file = CocoFile(content, str(source))
    if not file.images:
        raise DataError(f"{file.source}: lists no images.")
    names, sizes = _names_and_sizes(file, image_dir)
    objects = Annotations.build(len(names), _objects(file, sizes))
    return DetectionDataset(
        source=file.source,
        image_dir=str(image_dir),
        class_names=tuple(file.class_names),
        category_ids=tuple(file.category_ids),
        image_ids=ids_of([image.id for image in file.images]),
        file_names=Strings.of(names),
        sizes=torch.tensor(sizes, dtype=torch.int64),
        annotations=objects,
        notes=(*((NO_AREAS,) if file.has_no_areas else ()), *notes_on_ignored(objects)),
        federation=federation_of(file) if federated else None,
    )


def load_coco(file: Path) -> dict[str, Json]:
    """The outer object of a file in COCO's format, unchecked otherwise."""
    return require_object(read_json(file), str(file))


def _names_and_sizes(file: CocoFile, image_dir: Path) -> tuple[list[str], list[Size]]:
    """Those of all images; sizes that the file does not give are read from the images."""
    names, sizes, kept = [], [], []
    ignore_exif = ignores_exif()
    for image in file.images:
        path = image_dir / (image.file_name or "")
        kind: FaultKind = "annotation-unreadable"
        if image.file_name is not None and image.size is None:
            kind = "image-unreadable" if path.is_file() else "image-missing"
        with entry(kind):
            if image.file_name is None:
                raise DataError(f"{image.where}: has no 'file_name'.")
            sizes.append(image.size or image_size(path, ignore_exif=ignore_exif))
            names.append(image.file_name)
            kept.append(image)
    if not kept:
        raise DataError(f"{file.source}: none of its images can be read.")
    if len(kept) < len(file.images):
        known = {same(image.id) for image in kept}
        file.left_out = {same(image.id) for image in file.images} - known
        file.images = kept
    return names, sizes


def _objects(file: CocoFile, sizes: list[Size]) -> Iterator[Annotation]:
    ids = file.object_ids()
    one = entry()
    for found in file.objects():
        if found.entry not in ids:
            continue
        with one:
            mask = read_segmentation(found.segmentation, sizes[found.image], found.where)
            area = found.area
            if area is None:
                width, height = found.box[2:]
                area = width * height if mask.is_missing else mask.area(sizes[found.image])
            yield Annotation(
                image=found.image,
                id=ids[found.entry],
                label=found.label,
                box=found.box,
                area=area,
                is_crowd=found.is_crowd,
                is_ignored=found.is_ignored,
                polygons=mask.polygons,
                rle=mask.code,
            )
