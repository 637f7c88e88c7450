"""Several data sets as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import torch

from detzoo.data.annotations import Annotation, Annotations, Strings
from detzoo.data.dataset import DetectionDataset
from detzoo.errors import DataError


def union(datasets: Sequence[DetectionDataset]) -> DetectionDataset:
    """Concatenates data sets without masks, such as the years of Pascal VOC, with new object ids.

    Raises :class:`DataError` if their classes differ or they share an image id.
    """
    first = datasets[0]
    if len(datasets) == 1:
        return first
    ids: list[str] = []
    files: list[str] = []
    objects: list[Annotation] = []
    image_dir = os.path.commonpath([os.path.abspath(dataset.image_dir) for dataset in datasets])
    for dataset in datasets:
        if dataset.class_names != first.class_names:
            raise DataError(
                f"{dataset.source}: its classes are not those of {first.source}, so they cannot be "
                "one data set."
            )
        objects += _objects(dataset, start_image=len(ids), start_id=len(objects) + 1)
        for i in range(len(dataset)):
            ids.append(str(dataset.image_id(i)))
            files.append(os.path.relpath(os.path.abspath(dataset.path(i)), image_dir))
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"{datasets[-1].source}: has an image {twice!r}, like {first.source}.")
    return replace(
        first,
        source=" + ".join(dataset.source for dataset in datasets),
        image_dir=image_dir,
        image_ids=Strings.of(ids),
        file_names=Strings.of(files),
        sizes=torch.cat([dataset.sizes for dataset in datasets]),
        annotations=Annotations.build(len(ids), objects),
        notes=tuple(note for dataset in datasets for note in dataset.notes),
    )


def _objects(dataset: DetectionDataset, start_image: int, start_id: int) -> list[Annotation]:
    data = dataset.annotations
    assert data.segmentations is None, "only data without masks is put together"
    rows = zip(
        data.image_index.tolist(),
        data.labels.tolist(),
        data.boxes.tolist(),
        data.areas.tolist(),
        data.is_crowd.tolist(),
        data.is_ignored.tolist(),
    )
    return [
        Annotation(
            image=start_image + image,
            id=start_id + n,
            label=label,
            box=tuple(box),
            area=area,
            is_crowd=crowd,
            is_ignored=ignored,
        )
        for n, (image, label, box, area, crowd, ignored) in enumerate(rows)
    ]
