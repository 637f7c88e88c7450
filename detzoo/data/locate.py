"""Opens data sets, whatever their format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, UNDIVIDED, Source
from detzoo.data.formats.table import FORMATS
from detzoo.errors import DataError

PathLike = str | os.PathLike[str]


def open_dataset(
    path: PathLike,
    split: str = "train",
    annotations: PathLike | None = None,
    images: PathLike | None = None,
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
    check: bool = True,
) -> DetectionDataset:
    """Opens the ``split`` of the data set at ``path`` and checks that all image files exist.

    ``path`` is a folder or file in one of the formats of ``docs/data.md``. Data that are not
    divided into splits open as "train". ``annotations`` (a file) and ``images`` (a folder),
    absolute or relative to ``path``, override what the format says. ``class_names``,
    ``drop_others`` and ``allow_absent`` are those of :meth:`DetectionDataset.select_classes`.
    ``check=False`` leaves out the check of the images. Raises :class:`DataError`, which tells what
    was looked for.
    """
    place = Path(path)
    if annotations is not None:
        folder = place if place.is_dir() else place.parent
        place, images = folder / annotations, None if images is None else folder / images
    elif images is not None:
        images = (place if place.is_dir() else place.parent) / images
    dataset = _locate(place, split).read(None if images is None else Path(images))
    if class_names is not None:
        dataset = dataset.select_classes(
            class_names, drop_others=drop_others, allow_absent=allow_absent
        )
    if check:
        dataset.check_files()
    return dataset


def available_splits(path: PathLike) -> tuple[str, ...]:
    """The splits among "train", "val" and "test" that the data set at ``path`` has."""
    return tuple(split for split in SPLITS if _find(Path(path), split) is not None)


def _locate(path: Path, split: str) -> Source:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    source = _find(path, split)
    if source is None:
        layouts = "\n".join(f"  {item.name}: {item.layout}" for item in FORMATS)
        raise DataError(
            f"{path}: has no {split!r} split in a known layout. Looked for\n"
            f"{layouts.replace('{split}', split)}\n{_what_there_is(path)}"
            "Arrange the files like this, or name the annotation file and the image folder."
        )
    return source


def _find(path: Path, split: str) -> Source | None:
    """The ``split`` in the first format that has it."""
    for item in FORMATS:
        found = item.find(path)
        names = [split]
        # All of it is what to train on, or what a file of annotations is.
        if split == "train" or path.is_file():
            names.append(UNDIVIDED)
        # The list of VOC that is both; it holds no val that could be told apart.
        if split == "train" and "val" not in found:
            names.append("trainval")
        for name in names:
            if name in found:
                return found[name]
    return None


def _what_there_is(path: Path) -> str:
    splits = available_splits(path)
    if splits:
        return f"It has: {', '.join(splits)}.\n"
    if path.is_file():
        return ""
    names = sorted(entry.name for entry in os.scandir(path))
    return f"The folder holds: {', '.join(names[:12]) or 'nothing'}.\n"
