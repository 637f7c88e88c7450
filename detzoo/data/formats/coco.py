"""Finds files in COCO's format, LVIS among them, and the images they speak of."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from detzoo.data.coco import load_coco, parse_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, UNDIVIDED, Format, Source, split_name
from detzoo.data.formats.image_files import folders_below, is_image_name, locate_images
from detzoo.data.formats.sniff import files_of, json_outline
from detzoo.data.lvis import as_coco, is_federated
from detzoo.errors import DataError

_KEYS = {"images", "annotations", "categories"}
_ANNOTATION_FOLDERS = ("annotations", "annotation", "labels", "annots")
_IMAGE_FOLDERS = ("images", "data", "imgs", "img", "JPEGImages")
_YEARS = ("", "2017", "2014")
# Files that come with COCO and hold no boxes.
_OTHER_TASKS = ("captions_", "image_info_", "stuff_", "panoptic_")
# What is read of a folder to find a file of any name.
_MOST_SNIFFED = 50


def _find(path: Path) -> dict[str, Source]:
    if path.is_file():
        return {UNDIVIDED: _source([path])} if path.suffix.lower() == ".json" else {}
    if not path.is_dir():
        return {}
    files = _annotation_files(path, [path, *_folders_named(path, _ANNOTATION_FOLDERS)])
    if not files:
        files = _annotation_files(path, folders_below(path))
    by_split: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_split[_split_of(file, path)].append(file)
    if len(by_split) == 1 and not set(by_split) & set(SPLITS):
        return {UNDIVIDED: _source(_best(next(iter(by_split.values()))))}
    return {split: _source(_best(choice)) for split, choice in by_split.items()}


def _folders_named(path: Path, names: tuple[str, ...]) -> list[Path]:
    return [folder for folder in folders_below(path, depth=1) if folder.name.lower() in names]


def _source(files: list[Path]) -> Source:
    return Source(files[0], partial(_read_one_of, files))


def _annotation_files(root: Path, folders: list[Path]) -> list[Path]:
    found = []
    sniffed = 0
    for folder in folders:
        for file in files_of(folder, ".json"):
            if file.name.startswith(_OTHER_TASKS):
                continue
            if _rank(file) == 0:
                found.append(file)
            elif sniffed < _MOST_SNIFFED:
                sniffed += 1
                outline = json_outline(file)
                if outline.kind == "object" and len(outline.keys & _KEYS) > 0:
                    found.append(file)
    return found


def _split_of(file: Path, root: Path) -> str:
    """What the name of the file says, or that of a folder between it and the root."""
    split = split_name(file.stem)
    if split is None:
        split = _split_below(file.parent, root)
    return file.stem.removeprefix("instances_") if split is None else split


def _rank(file: Path) -> int:
    """How surely a file has the annotations of its split: 0 is a name that only they have."""
    stem = file.stem.removeprefix("instances_").rstrip("0123456789")
    if file.name.startswith("instances_") or file.name == "_annotations.coco.json":
        return 0
    if stem in ("train", "training", "val", "valid", "validation", "test", "testing"):
        return 0
    if file.name.startswith("lvis_v"):
        return 2 if split_name(file.stem.rpartition("_")[2]) is not None else 3
    return 4 if file.name.startswith("person_keypoints_") else 1


def _best(files: list[Path]) -> list[Path]:
    """Those of the highest rank and of the latest year; more than one cannot be told apart."""

    def order(file: Path) -> tuple[int, int, str]:
        year = re.sub(r".*?(2014|2017|)$", r"\1", file.stem)
        # Of LVIS the newer version, of its parts the first.
        name = file.stem if file.name.startswith("lvis_v1") else ""
        return _rank(file), _YEARS.index(year), name

    best = min(map(order, files))
    return [file for file in files if order(file) == best]


def _read_one_of(files: list[Path], images: Path | None) -> DetectionDataset:
    if len(files) > 1:
        raise DataError(
            f"{files[0].parent}: has several files of annotations for the same split "
            f"({', '.join(file.name for file in files)}). Give the path of one of them."
        )
    return read_coco_file(files[0], images)


def read_coco_file(file: Path, images: Path | None = None) -> DetectionDataset:
    """Reads a file in COCO's format whose images are in ``images``, or where they are found."""
    content = load_coco(file)
    if images is not None and not images.is_dir():
        raise _no_folder(images, file)
    folders = [images] if images is not None else _image_folders(file)
    entries = content.get("images")
    named = [entry for entry in entries if _has_name(entry)] if isinstance(entries, list) else []
    # LVIS calls the images of COCO by their URLs.
    federated = is_federated(content)
    asked = as_coco(content, folders[0])["images"] if federated else named
    located = locate_images([entry["file_name"] for entry in asked if _has_name(entry)], folders)
    if located is None:
        folder = next(filter(_holds_images, folders), None)
        if folder is None:
            raise _no_folder(folders[0], file)
        return parse_coco(content, file, folder)
    if federated:
        return parse_coco(content, file, located.folder)
    for entry, name in zip(named, located.names):
        entry["file_name"] = name
    dataset = parse_coco(content, file, located.folder)
    return replace(dataset, notes=(*located.notes, *dataset.notes))


def _image_folders(file: Path) -> list[Path]:
    """Where the images of a file may be, the likeliest first; not in those of other splits."""
    parent = file.parent
    root = parent.parent if parent.name.lower() in _ANNOTATION_FOLDERS else parent
    stem = file.stem.removeprefix("instances_")
    split = _split_of(file, root)

    def likelihood(folder: Path) -> int:
        name, own = folder.name, _split_below(folder, root)
        return min(
            0 if name == stem else 7,
            1 if name == stem.rstrip("0123456789") else 7,
            2 if own == split else 7,
            3 if name in _IMAGE_FOLDERS else 7,
            4 if folder == parent else 7,
            5 if folder == root else 7,
            6 if own is None or split not in SPLITS else 7,
        )

    likely = [root / stem, root / "images" / stem, *folders_below(root)]
    return sorted((folder for folder in likely if likelihood(folder) < 7), key=likelihood)


def _split_below(folder: Path, root: Path) -> str | None:
    """The split that the names of the folders from ``root`` to ``folder`` tell."""
    for name in folder.relative_to(root).parts[::-1]:
        split = split_name(name)
        if split is not None:
            return split
    return None


def _has_name(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("file_name"), str)


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(is_image_name(name) for name in os.listdir(folder))


def _no_folder(folder: Path, annotations: Path) -> DataError:
    return DataError(
        f"{folder}: no such folder; it should hold the images of {annotations}. "
        "Name the folder that does."
    )


FORMAT = Format(
    name="COCO",
    layout=(
        "annotations/instances_{split}2017.json, instances_{split}.json or {split}.json, "
        "{split}/_annotations.coco.json, or the only COCO file in the folder, whatever its name; "
        "images in the folder where the first file_name exists"
    ),
    flags="iscrowd is a crowd, ignore is ignored",
    find=_find,
)
