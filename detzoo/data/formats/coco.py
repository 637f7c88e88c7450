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
from detzoo.data.formats.annotation_files import (
    ANNOTATION_FOLDERS,
    as_undivided,
    data_root,
    image_folders,
    read_only_one,
    split_of,
)
from detzoo.data.formats.archives import archives_in
from detzoo.data.formats.base import UNDIVIDED, Format, Source, split_name
from detzoo.data.formats.coco_panoptic import is_panoptic, things_of, with_maps
from detzoo.data.formats.image_files import folders_below, is_image_name, locate_images
from detzoo.data.formats.sniff import files_of, json_outline
from detzoo.data.lvis import as_coco, is_federated
from detzoo.errors import DataError

_KEYS = {"images", "annotations", "categories"}
_YEARS = ("", "2017", "2014")
# Files that come with COCO and hold no boxes.
_OTHER_TASKS = ("captions_", "image_info_", "stuff_")
# What is read of a folder to find a file of any name.
_MOST_SNIFFED = 50


def _find(path: Path) -> dict[str, Source]:
    if path.is_file():
        return {UNDIVIDED: _source([path])} if _is_meant(path) else {}
    if not path.is_dir():
        return {}
    files = _annotation_files([path, *_folders_named(path, ANNOTATION_FOLDERS)])
    if not files:
        files = _annotation_files(folders_below(path))
    by_split: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_split[split_of(file, path)].append(file)
    return {split: _source(_best(choice)) for split, choice in as_undivided(by_split).items()}


def _is_meant(file: Path) -> bool:
    """Whether a file that the user names is COCO's, or too broken to tell: its reader says how."""
    outline = json_outline(file)
    is_broken = outline.kind == "other" or not outline.keys | outline.inner
    return file.suffix.lower() == ".json" and (is_broken or bool(outline.keys & _KEYS))


def _folders_named(path: Path, names: tuple[str, ...]) -> list[Path]:
    return [folder for folder in folders_below(path, depth=1) if folder.name.lower() in names]


def _source(files: list[Path]) -> Source:
    return Source(files[0], partial(read_only_one, files, read_coco_file))


def _annotation_files(folders: list[Path]) -> list[Path]:
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


def _rank(file: Path) -> int:
    """How surely a file has the annotations of its split: 0 is a name that only they have."""
    stem = file.stem.removeprefix("instances_").rstrip("0123456789")
    if file.name.startswith("instances_") or file.name == "_annotations.coco.json":
        return 0
    if stem in ("train", "training", "val", "valid", "validation", "test", "testing"):
        return 0
    if file.name.startswith("lvis_v"):
        return 2 if split_name(file.stem.rpartition("_")[2]) is not None else 3
    if file.name.startswith("panoptic_"):
        return 5
    return 4 if file.name.startswith("person_keypoints_") else 1


def _best(files: list[Path]) -> list[Path]:
    """Those of the highest rank and of the latest year; more than one cannot be told apart.

    Nor can those of several data sets.
    """

    def order(file: Path) -> tuple[int, int, bool, str]:
        year = re.sub(r".*?(2014|2017|)$", r"\1", file.stem)
        # Of LVIS the newer version, of its parts the first.
        part = file.stem if file.name.startswith("lvis_v") else ""
        return _rank(file), _YEARS.index(year), not part.startswith("lvis_v1"), part

    if len({data_root(file) for file in files}) > 1:
        return files
    best = min(map(order, files))
    return [file for file in files if order(file) == best]


def read_coco_file(file: Path, images: Path | None = None) -> DetectionDataset:
    """Reads a file in COCO's format whose images are in ``images``, or where they are found."""
    return read_coco_content(load_coco(file), file, images)


def read_coco_content(
    content: dict[str, Any], file: Path, images: Path | None = None
) -> DetectionDataset:
    """:func:`read_coco_file` of the ``content`` of ``file``."""
    whole = content
    notes: tuple[str, ...] = ()
    maps: Path | None = None
    if is_panoptic(content):
        content, maps, notes = things_of(content, file)
    if images is not None and not images.is_dir():
        raise _no_folder(images, file)
    folders = [images] if images is not None else image_folders(file)
    if maps is not None and images is None:
        folders = [folder for folder in folders if folder != maps]  # their names may be alike
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
    if maps is not None:
        dataset = with_maps(dataset, whole, maps)
    return replace(dataset, notes=(*located.notes, *notes, *dataset.notes))


def _has_name(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("file_name"), str)


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(is_image_name(name) for name in os.listdir(folder))


def _no_folder(folder: Path, annotations: Path) -> DataError:
    archives = [file for near in (folder.parent, annotations.parent) for file in archives_in(near)]
    remedy = f"Unpack {archives[0]}?" if archives else "Name the folder that does."
    return DataError(
        f"{folder}: no such folder; it should hold the images of {annotations}. {remedy}"
    )


FORMAT = Format(
    name="COCO",
    layout=(
        "`annotations/instances_{split}2017.json`, `instances_{split}.json`, `{split}.json`, "
        "`{split}/_annotations.coco.json`, or the only COCO file in the folder, whatever its name. "
        "The images are in the folder where the first `file_name` exists. Includes LVIS, "
        "Objects365, person keypoints (their boxes) and panoptic annotations (with their maps: see "
        "below)"
    ),
    flags="`iscrowd` makes a crowd; `ignore` objects are ignored",
    find=_find,
    given="`DIR` or `FILE.json`",
)
