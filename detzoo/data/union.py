"""Several data sets as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from detzoo.data.annotations import Annotations, LabelLists, Proposals, Strings
from detzoo.data.dataset import DetectionDataset
from detzoo.data.lvis import Federation
from detzoo.data.open_images import OpenImagesLabels
from detzoo.data.panoptic import PanopticMaps
from detzoo.errors import DataError


def union(
    datasets: Sequence[DetectionDataset], class_names: Sequence[str] | None = None
) -> DetectionDataset:
    """Joins data sets by class name, such as the years of Pascal VOC.

    The classes are those of the first, followed by what the others add; or ``class_names``, without
    the objects of others. Objects get new ids, and images too where two sets use the same.
    ``notes`` say so, and which classes are not annotated in every set. Proposals, panoptic maps and
    what Open Images says of its images stay if all sets have them. Raises :class:`DataError` if no
    set has one of ``class_names``, if some sets are annotated for every class in every image and
    others are not (LVIS), and for sets with semantic maps, which the joined set can get by
    :meth:`DetectionDataset.with_semantic_maps`.
    """
    joined = datasets[0] if len(datasets) == 1 else _joined(datasets)
    if class_names is not None:
        joined = joined.select_classes(class_names, drop_others=True)
    notes = _notes_on_classes(datasets, joined.class_names)
    return replace(joined, notes=(*joined.notes, *notes)) if notes else joined


def _joined(datasets: Sequence[DetectionDataset]) -> DetectionDataset:
    for data in datasets:
        if data.semantic_dir is not None:
            raise DataError(
                f"{data.source}: has semantic maps. Join the data sets first, and give the joined "
                "one its folder of maps."
            )
    names = tuple(dict.fromkeys(name for data in datasets for name in data.class_names))
    notes = [f"{note} ({data.source})" for data in datasets for note in data.notes]
    same_classes = [
        data.select_classes(names, allow_absent=True) if data.class_names != names else data
        for data in datasets
    ]
    image_dir = os.path.commonpath([os.path.abspath(data.image_dir) for data in datasets])
    file_names = Strings.of(
        os.path.relpath(os.path.abspath(data.path(i)), image_dir)
        for data in datasets
        for i in range(len(data))
    )
    image_ids = _joined_ids(datasets)
    if image_ids is None:
        image_ids = torch.arange(1, 1 + len(file_names))
        notes.append(f"images renumbered from 1 to {len(file_names)}: the sets share image ids")
    return replace(
        same_classes[0],
        source=" + ".join(data.source for data in datasets),
        image_dir=image_dir,
        image_ids=image_ids,
        file_names=file_names,
        sizes=torch.cat([data.sizes for data in datasets]),
        annotations=Annotations.join([data.annotations for data in same_classes]),
        notes=tuple(notes),
        federation=_joined_federation(same_classes),
        open_images=_joined_open_images(same_classes),
        proposals=_joined_proposals(datasets),
        panoptic=_joined_panoptic(same_classes),
    )


def _notes_on_classes(datasets: Sequence[DetectionDataset], names: Sequence[str]) -> list[str]:
    """What it means for the classes ``names`` that sets are annotated for different ones."""
    notes = []
    for data in datasets:
        known = set(data.class_names)
        absent = [name for name in names if name not in known]
        if absent:
            notes.append(
                f"images of {data.source} count as showing no {' or '.join(absent[:8])}"
                f"{f' or {len(absent) - 8} more' if len(absent) > 8 else ''}: not among its classes"
            )
    alike: dict[str, str] = {}
    for name in names:
        other = alike.setdefault(" ".join(name.casefold().replace("_", " ").split()), name)
        if other != name:
            notes.append(f"{other!r} and {name!r} are two classes: their names differ")
    return notes


def _joined_ids(datasets: Sequence[DetectionDataset]) -> Tensor | Strings | None:
    """The ids of all images; None where two are the same."""
    parts = [data.image_ids for data in datasets]
    numbers = [part for part in parts if isinstance(part, Tensor)]
    if len(numbers) == len(parts):
        ids = torch.cat(numbers)
        return ids if len(ids.unique()) == len(ids) else None
    texts = [str(data.image_id(i)) for data in datasets for i in range(len(data))]
    return Strings.of(texts) if len(set(texts)) == len(texts) else None


def _joined_federation(datasets: Sequence[DetectionDataset]) -> Federation | None:
    parts = [data.federation for data in datasets if data.federation is not None]
    if not parts:
        return None
    if len(parts) < len(datasets):
        exhaustive = next(data for data in datasets if data.federation is None)
        federated = next(data for data in datasets if data.federation is not None)
        raise DataError(
            f"{federated.source}: says of each image which classes were looked for (LVIS), and "
            f"{exhaustive.source} does not, so they cannot be joined. Convert one of them."
        )
    return Federation(
        LabelLists.join([part.absent for part in parts]),
        LabelLists.join([part.partial for part in parts]),
        parts[0].frequency,
    )


def _joined_open_images(datasets: Sequence[DetectionDataset]) -> OpenImagesLabels | None:
    """None, so that all classes count in all images, where not all sets are of Open Images."""
    parts = [data.open_images for data in datasets if data.open_images is not None]
    return OpenImagesLabels.join(parts) if len(parts) == len(datasets) else None


def _joined_proposals(datasets: Sequence[DetectionDataset]) -> Proposals | None:
    parts = [data.proposals for data in datasets if data.proposals is not None]
    return Proposals.join(parts) if len(parts) == len(datasets) else None


def _joined_panoptic(datasets: Sequence[DetectionDataset]) -> PanopticMaps | None:
    parts = [data.panoptic for data in datasets if data.panoptic is not None]
    return PanopticMaps.join(parts) if len(parts) == len(datasets) else None
