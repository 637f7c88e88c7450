"""Reads the boxes of Open Images (https://storage.googleapis.com/openimages/web/download_v7.html)."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, image_folders
from detzoo.data.formats.base import Format, ImageRecord, ObjectRecord, counted
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import folders_below, images_below
from detzoo.data.formats.sniff import csv_rows, files_of, first_row
from detzoo.data.reading import entry
from detzoo.errors import DataError

_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")


def _is_ours(file: Path) -> bool:
    return set(_COLUMNS) <= set(first_row(file))


def _read(file: Path, images: Path | None) -> DetectionDataset:
    folder, names = _images(file, images)
    objects: dict[str, list[ObjectRecord]] = defaultdict(list)
    absent = set()
    class_names = _class_names(file)
    header: list[str] = []
    for k, row in enumerate(csv_rows(file), 1):
        if k == 1:
            header = row
            continue
        with entry():
            where = f"{file}: line {k}"
            if len(row) != len(header):
                raise DataError(f"{where}: has {len(row)} columns instead of {len(header)}.")
            cells = dict(zip(header, row))
            if cells["ImageID"] in names:
                objects[cells["ImageID"]].append(_object(cells, class_names, where))
            else:
                absent.add(cells["ImageID"])
    if not objects:
        raise DataError(f"{file}: none of its {len(absent)} images is in {folder}.")
    notes = [f"{counted(len(absent), 'image')} of {file.name} left out: not there"] * bool(absent)
    return build_dataset(
        [
            ImageRecord(names[image], objects[image], f"{file}: {image}", in_fractions=True)
            for image in objects
        ],
        source=file,
        image_dir=folder,
        class_names=[*class_names.values()] or None,
        notes=notes,
    )


def _images(file: Path, images: Path | None) -> tuple[Path, dict[str, str]]:
    """The image folder, and its files by the ids of images."""
    for folder in image_folders(file) if images is None else [images]:
        present = images_below(folder)
        if present:
            return folder, {Path(name).stem: name for name in present}
    raise DataError(f"{file}: there are no images beside it. Name the folder that has them.")


def _class_names(file: Path) -> dict[str, str]:
    """Names by machine ids, of a file such as ``class-descriptions-boxable.csv``."""
    root = file.parent.parent if file.parent.name in ("annotations", "labels") else file.parent
    for folder in folders_below(root, depth=1):
        for other in files_of(folder, ".csv"):
            if "class-descriptions" in other.name.lower().replace("_", "-"):
                return {row[0]: row[1] for row in csv_rows(other) if len(row) == 2}
    return {}


def _object(cells: dict[str, str], class_names: dict[str, str], where: str) -> ObjectRecord:
    name = class_names.get(cells["LabelName"], cells["LabelName"])
    try:
        x1, y1, x2, y2 = (float(cells[key]) for key in ("XMin", "YMin", "XMax", "YMax"))
    except ValueError:
        raise DataError(f"{where}: one of XMin, YMin, XMax, YMax is no number.") from None
    is_group = cells.get("IsGroupOf") == "1"
    return ObjectRecord(name, (x1, y1, x2 - x1, y2 - y1), is_crowd=is_group)


FORMAT = Format(
    name="Open Images",
    layout=(
        "`*-annotations-bbox.csv`, `class-descriptions-boxable.csv`, and as many of the images as "
        "were downloaded"
    ),
    flags="`IsGroupOf` makes a crowd; occluded, truncated, inside and depicted objects count; "
    "classes that were not verified in an image count as absent",
    given="`DIR` or `FILE.csv`",
    find=partial(find_files, suffix=".csv", is_ours=_is_ours, read=_read),
)
