"""Reads Cityscapes (https://arxiv.org/abs/1604.01685) from its maps of instance ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from detzoo.data.annotations import Annotation, Annotations, Strings, notes_on_ignored
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, Format, Source
from detzoo.data.images import read_gray
from detzoo.errors import DataError
from detzoo.structures.segmentation import encode_rle

# The classes that have instances, in the order of their ids and of the published checkpoints.
CLASS_IDS = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
CITYSCAPES_CLASSES = tuple(CLASS_IDS)

# The pixels of an instance have 1000 times its class plus its number. Lower values are classes
# themselves: for classes with instances, groups of indistinguishable objects.
IDS_PER_CLASS = 1000

_MAP_SUFFIX, _IMAGE_SUFFIX = "_gtFine_instanceIds.png", "_leftImg8bit.png"


def read_cityscapes(
    root: str | os.PathLike[str],
    split: str = "train",
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
) -> DetectionDataset:
    """Reads a split of ``root/gtFine``; the images in ``root/leftImg8bit`` need not exist.

    Groups (``car group``) become crowds. Image ids are file names without the suffix that all
    share: ``aachen_000000_000019``. ``class_names`` are those of
    :meth:`DetectionDataset.select_classes`. Raises :class:`DataError` if there is no map of
    instances, or an invalid one.
    """
    folder = Path(root) / "gtFine" / split
    maps = sorted(folder.glob(f"*/*{_MAP_SUFFIX}"))
    if not maps:
        raise DataError(
            f"{folder}: holds no <city>/*{_MAP_SUFFIX}. Unpack gtFine_trainvaltest.zip into {root}."
        )
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parsed = list(threads.map(_parse, maps))
    stems = [path.name.removesuffix(_MAP_SUFFIX) for path in maps]
    objects: list[Annotation] = []
    for image, (_, instances) in enumerate(parsed):
        for item in instances:
            objects.append(
                Annotation(
                    image=image,
                    id=len(objects) + 1,
                    label=item.label,
                    box=item.box,
                    area=item.area,
                    is_crowd=item.is_group,
                    rle=item.code,
                )
            )
    annotations = Annotations.build(len(maps), objects)
    dataset = DetectionDataset(
        source=str(folder),
        image_dir=str(Path(root) / "leftImg8bit" / split),
        class_names=CITYSCAPES_CLASSES,
        category_ids=tuple(CLASS_IDS.values()),
        image_ids=Strings.of(stems),
        file_names=Strings.of(
            f"{path.parent.name}/{stem}{_IMAGE_SUFFIX}" for path, stem in zip(maps, stems)
        ),
        sizes=torch.tensor([size for size, _ in parsed], dtype=torch.int64),
        annotations=annotations,
        notes=tuple(notes_on_ignored(annotations)),
    )
    if class_names is None:
        return dataset
    return dataset.select_classes(class_names, drop_others=drop_others, allow_absent=allow_absent)


def read_instance_map(path: str | os.PathLike[str]) -> np.ndarray:
    """The ids (H, W) int32 of a ``*_gtFine_instanceIds.png``. Raises :class:`DataError`."""
    return read_gray(path).astype(np.int32)


def instance_map_of(image: str | os.PathLike[str]) -> Path:
    """The map of instances of a Cityscapes image. Raises :class:`DataError`."""
    path = Path(image)
    parts = list(path.parts)
    if "leftImg8bit" not in parts or not path.name.endswith(_IMAGE_SUFFIX):
        raise DataError(
            f"{path}: is not at leftImg8bit/<split>/<city>/*{_IMAGE_SUFFIX}, so the map of its "
            "instances, which the metric of Cityscapes needs, cannot be found."
        )
    folder = len(parts) - 1 - parts[::-1].index("leftImg8bit")
    parts[folder] = "gtFine"
    parts[-1] = path.name.removesuffix(_IMAGE_SUFFIX) + _MAP_SUFFIX
    return Path(*parts)


@dataclass(frozen=True)
class _Instance:
    label: int
    is_group: bool
    box: tuple[float, float, float, float]  # x, y, width, height
    area: float
    code: bytes


def _parse(path: Path) -> tuple[tuple[int, int], list[_Instance]]:
    """The size and instances of one map."""
    ids = read_instance_map(path)
    label_of = {number: label for label, number in enumerate(CLASS_IDS.values())}
    counts = np.bincount(ids.reshape(-1).clip(0))
    instances = []
    for number in np.flatnonzero(counts).tolist():
        is_group = number < IDS_PER_CLASS
        label = label_of.get(number if is_group else number // IDS_PER_CLASS)
        if label is None:
            continue
        mask = (ids == number).view(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        instances.append(
            _Instance(
                label, is_group, (x, y, width, height), float(counts[number]), encode_rle(mask)
            )
        )
    return (ids.shape[0], ids.shape[1]), instances


def _read(root: Path, split: str, images: Path | None) -> DetectionDataset:
    dataset = read_cityscapes(root, split)
    return dataset if images is None else replace(dataset, image_dir=str(images))


def _find(path: Path) -> dict[str, Source]:
    folders = {split: path / "gtFine" / split for split in SPLITS}
    return {
        split: Source(folder, partial(_read, path, split))
        for split, folder in folders.items()
        if any(folder.glob(f"*/*{_MAP_SUFFIX}"))
    }


FORMAT = Format(
    name="Cityscapes",
    layout="`gtFine/{split}/<city>/*_instanceIds.png` and `leftImg8bit/{split}/<city>/`",
    flags="groups (`car group`) are crowds",
    find=_find,
)
