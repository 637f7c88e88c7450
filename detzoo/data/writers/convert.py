"""Converts data sets from any format that can be opened to one that can be written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.writers.coco import write_coco
from detzoo.data.writers.voc import write_voc
from detzoo.data.writers.yolo import write_yolo
from detzoo.errors import ConfigError, DataError

FORMATS = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc}


@dataclass(frozen=True)
class Converted:
    """What :func:`convert` wrote, and what the format could not hold: how often, by what it is."""

    folder: Path
    num_images: int
    changes: Mapping[str, int]


def convert(
    datasets: Mapping[str, DetectionDataset],
    to: str,
    folder: str | os.PathLike[str],
    *,
    link: bool = False,
) -> Converted:
    """Writes ``datasets``, by the names of their splits, into a new ``folder``.

    ``to`` is "coco", "yolo" or "voc". Images are copied; with ``link`` they become hard links where
    the file system allows it. All splits get the classes of all. Raises :class:`ConfigError` for
    another format, and :class:`DataError` if the folder is not empty, images are missing, or
    something cannot be written.
    """
    out = Path(folder)
    if to not in FORMATS:
        raise ConfigError(f"--to {to}: is none of {', '.join(FORMATS)}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already. Give a new folder.")
    for dataset in datasets.values():
        dataset.check_files()
    datasets = _with_same_classes(datasets)
    try:
        changes = FORMATS[to](datasets, out, link)
    except OSError as error:
        raise DataError(f"{error.filename or out}: cannot be written ({error.strerror}).") from None
    maps = [dataset.panoptic for dataset in datasets.values() if dataset.panoptic is not None]
    changes["segments of stuff left out"] += sum(int((~one.is_thing).sum()) for one in maps)
    labels = [one.open_images for one in datasets.values() if one.open_images is not None]
    changes["image-level labels left out"] += sum(len(one.verified.labels) for one in labels)
    num_images = sum(len(dataset) for dataset in datasets.values())
    return Converted(out, num_images, {what: n for what, n in changes.items() if n})


def _with_same_classes(datasets: Mapping[str, DetectionDataset]) -> dict[str, DetectionDataset]:
    """In formats without a list of classes, each split has those of its own objects."""
    names = tuple(dict.fromkeys(name for one in datasets.values() for name in one.class_names))
    first = next(iter(datasets.values()))
    if all(one.class_names == first.class_names for one in datasets.values()):
        return dict(datasets)
    ids = first.select_classes(names, allow_absent=True).category_ids
    return {
        split: replace(one.select_classes(names, allow_absent=True), category_ids=ids)
        for split, one in datasets.items()
    }
