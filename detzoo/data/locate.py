"""Opening a data set from its folder: which layout is it, and which splits does it have?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.images import EXTENSIONS
from detzoo.data.voc import read_voc
from detzoo.errors import DataError

PathLike = str | os.PathLike[str]
SPLITS = ("train", "val", "test")

# What people call the splits.
_ALIASES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_YEARS = ("", "2017", "2014")
_LAYOUTS = """\
  COCO:      annotations/instances_{split}2017.json (or instances_{split}.json, {split}.json)
             with the images in {split}2017/, {split}/, images/{split}/ or images/
  COCO:      {split}/_annotations.coco.json with the images beside it (Roboflow)
  Pascal VOC: Annotations/*.xml, ImageSets/Main/{split}.txt and JPEGImages/, in the folder itself,
             one level down, or in VOCdevkit/VOC2012"""


@dataclass(frozen=True)
class _Source:
    """Where one split lies: a COCO file with its image folder, or a VOC root."""

    kind: Literal["coco", "voc"]
    annotations: Path
    images: Path
    split: str


def open_dataset(
    path: PathLike,
    split: str = "train",
    annotations: PathLike | None = None,
    images: PathLike | None = None,
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
) -> DetectionDataset:
    """The ``split`` of the data set at ``path``, with all its image files checked to exist.

    ``path`` is a folder of a known layout, or a COCO JSON file. ``annotations`` (a COCO file) and
    ``images`` (a folder), absolute or below ``path``, say explicitly where things are.
    ``class_names``, ``drop_others`` and ``allow_absent`` as in
    :meth:`DetectionDataset.select_classes`. Raises :class:`DataError`, saying what was looked for.
    """
    source = _locate(Path(path), split, annotations, images)
    if source.kind == "voc":
        dataset = read_voc(
            source.annotations,
            source.split,
            class_names,
            drop_others=drop_others,
            allow_absent=allow_absent,
        )
    else:
        dataset = read_coco(
            source.annotations,
            source.images,
            class_names,
            drop_others=drop_others,
            allow_absent=allow_absent,
        )
    dataset.check_files()
    return dataset


def available_splits(path: PathLike) -> tuple[str, ...]:
    """Those of "train", "val" and "test" that the folder at ``path`` has."""
    return tuple(split for split in SPLITS if _find(Path(path), split))


def _locate(
    path: Path, split: str, annotations: PathLike | None, images: PathLike | None
) -> _Source:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    if path.is_file():
        annotations, path = path.resolve() if annotations is None else annotations, path.parent
    if annotations is not None:
        file = path / annotations
        folder = path / images if images is not None else _images_of(file)
        return _Source("coco", file, _existing_folder(folder, file), split)
    found = _find(path, split)
    if not found:
        raise DataError(
            f"{path}: holds no {split!r} split of a layout that is known. Looked for\n"
            f"{_LAYOUTS.replace('{split}', split)}\n{_what_there_is(path)}"
            "Put the files so, or name the annotation file and the image folder."
        )
    if len(found) > 1:
        listed = ", ".join(str(source.annotations) for source in found)
        raise DataError(
            f"{path}: holds several data sets ({listed}). Give the path of one of them."
        )
    source = found[0]
    if images is not None:
        source = _Source(source.kind, source.annotations, path / images, source.split)
    if source.kind == "coco":
        _existing_folder(source.images, source.annotations)
    return source


def _find(path: Path, split: str) -> list[_Source]:
    """The sources of a split: none, one, or several between which nothing decides."""
    for name in _ALIASES.get(split, (split,)):
        source = _find_coco(path, name)
        if source is not None:
            return [source]
    roots = [path] if _is_voc(path) else _voc_below(path)
    return [
        _Source("voc", root, root / "JPEGImages", name)
        for root in roots
        for name in _ALIASES.get(split, (split,))[:2]
        if (root / "ImageSets" / "Main" / f"{name}.txt").is_file()
    ]


def _find_coco(path: Path, name: str) -> _Source | None:
    roboflow = path / name / "_annotations.coco.json"
    if roboflow.is_file():
        return _Source("coco", roboflow, roboflow.parent, name)
    for folder in (path / "annotations", path):
        for year in _YEARS:
            for stem in (f"instances_{name}{year}", f"{name}{year}"):
                file = folder / f"{stem}.json"
                if file.is_file():
                    return _Source("coco", file, _images_of(file), name)
    return None


def _images_of(file: Path) -> Path:
    """The image folder that belongs to a COCO file, by its name and place."""
    stem = file.stem.removeprefix("instances_")
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    candidates = (
        root / stem,
        root / "images" / stem,
        root / stem.rstrip("0123456789"),
        root / "images",
        file.parent,
        root,
    )
    return next((folder for folder in candidates if _holds_images(folder)), root / stem)


def _holds_images(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(EXTENSIONS) for entry in entries)


def _existing_folder(folder: Path, annotations: Path) -> Path:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; it should hold the images of {annotations}. "
            "Name the folder that does."
        )
    return folder


def _is_voc(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("Annotations", "ImageSets/Main", "JPEGImages"))


def _voc_below(path: Path) -> list[Path]:
    """The VOC folders one level down, or in ``VOCdevkit``."""
    if not path.is_dir():
        return []
    folders = [*sorted(path.iterdir())]
    devkit = path / "VOCdevkit"
    if devkit.is_dir():
        folders += sorted(devkit.iterdir())
    return [folder for folder in folders if _is_voc(folder)]


def _what_there_is(path: Path) -> str:
    splits = available_splits(path)
    if splits:
        return f"It has: {', '.join(splits)}.\n"
    names = sorted(entry.name for entry in os.scandir(path))
    return f"The folder holds: {', '.join(names[:12]) or 'nothing'}.\n"
