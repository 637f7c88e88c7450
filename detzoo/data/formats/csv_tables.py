"""Reads tables of boxes in CSV, a line each, as TensorFlow's and keras-retinanet's scripts have it.

TensorFlow's have a header with filename, class, xmin, ymin, xmax, ymax and maybe width and height,
in any order (https://github.com/datitran/raccoon_dataset, Roboflow's "TensorFlow Object
Detection"). Those of keras-retinanet have none: path, x1, y1, x2, y2, class; an image without
objects is ``path,,,,,`` (https://github.com/fizyr/keras-retinanet#csv-datasets).
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import partial
from pathlib import Path, PurePosixPath

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, image_folders, images_of
from detzoo.data.formats.base import Format, ImageRecord, ObjectRecord
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import images_below, is_image_name
from detzoo.data.formats.sniff import csv_rows, first_row
from detzoo.data.reading import entry
from detzoo.errors import DataError

# Names of a column, in lower case without blanks and underscores.
_COLUMNS = {
    "image": ("filename", "imagename", "imagepath", "image", "path", "file", "imageid"),
    "class": ("class", "classname", "label", "labelname", "category", "name", "celltype"),
    "x1": ("xmin", "x1", "left"),
    "y1": ("ymin", "y1", "top"),
    "x2": ("xmax", "x2", "right"),
    "y2": ("ymax", "y2", "bottom"),
}
_SIZES = {"width": ("width", "imagewidth"), "height": ("height", "imageheight")}
_WITHOUT_HEADER = {"image": 0, "x1": 1, "y1": 2, "x2": 3, "y2": 4, "class": 5}


def _is_ours(file: Path) -> bool:
    return _layout(first_row(file)) is not None


def _layout(row: list[str]) -> dict[str, int] | None:
    """Which column holds what, by the first row; None where it is of another table."""
    if len(row) == 6 and is_image_name(row[0]) and all(map(_is_number_or_blank, row[1:5])):
        return dict(_WITHOUT_HEADER)
    names = [cell.strip().lower().replace("_", "").replace(" ", "") for cell in row]
    found = {}
    for key, known in {**_COLUMNS, **_SIZES}.items():
        place = next((names.index(name) for name in known if name in names), None)
        if place is not None:
            found[key] = place
    return found if found.keys() >= _COLUMNS.keys() else None


def _is_number_or_blank(cell: str) -> bool:
    try:
        return not cell.strip() or math.isfinite(float(cell))
    except ValueError:
        return False


def _read(file: Path, images: Path | None) -> DetectionDataset:
    rows = list(csv_rows(file))
    layout = _layout(rows[0])
    assert layout is not None
    has_header = not is_image_name(rows[0][layout["image"]])
    objects: dict[str, list[ObjectRecord]] = defaultdict(list)
    sizes: dict[str, tuple[int, int] | None] = {}
    for k, row in enumerate(rows, 1):
        if (has_header and k == 1) or not any(cell.strip() for cell in row):
            continue
        with entry():
            where = f"{file}: line {k}"
            if len(row) <= max(layout.values()):
                raise DataError(
                    f"{where}: has {len(row)} columns, and the first line {len(rows[0])}."
                )
            cells = {key: row[place].strip() for key, place in layout.items()}
            name = cells["image"]
            sizes.setdefault(name, _size(cells, where))
            if any(cells[key] for key in ("x1", "y1", "x2", "y2", "class")):
                objects[name].append(_object(cells, where))
    located = images_of(file, _with_extensions(list(sizes), file, images), images)
    return build_dataset(
        [
            ImageRecord(found, objects[name], f"{file}: {name}", sizes[name])
            for name, found in zip(sizes, located.names)
        ],
        source=file,
        image_dir=located.folder,
        notes=located.notes,
    )


def _with_extensions(names: list[str], file: Path, images: Path | None) -> list[str]:
    """The names of files, where a table has them without extensions: ``a`` is ``a.jpg``."""
    if all(map(is_image_name, names)):
        return names
    for folder in image_folders(file) if images is None else [images]:
        by_stem = {PurePosixPath(name).stem: name for name in images_below(folder)}
        if any(name in by_stem for name in names):
            return [by_stem.get(name, name) for name in names]
    return names


def _object(cells: dict[str, str], where: str) -> ObjectRecord:
    x1, y1, x2, y2 = (_number(cells, key, where) for key in ("x1", "y1", "x2", "y2"))
    if not cells["class"]:
        raise DataError(f"{where}: has no class.")
    return ObjectRecord(cells["class"], (x1, y1, x2 - x1, y2 - y1))


def _size(cells: dict[str, str], where: str) -> tuple[int, int] | None:
    if not (cells.get("height") and cells.get("width")):
        return None
    height, width = int(_number(cells, "height", where)), int(_number(cells, "width", where))
    return (height, width) if height and width else None


def _number(cells: dict[str, str], key: str, where: str) -> float:
    try:
        value = float(cells[key])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {key} is {cells[key]!r} instead of a number.")
    return value


FORMAT = Format(
    name="CSV",
    layout=(
        "a file per split with the columns `filename`, `class`, `xmin`, `ymin`, `xmax`, `ymax`, in "
        "any order (TensorFlow), or path, x1, y1, x2, y2, class without a header (keras-retinanet)"
    ),
    flags="the format has none; coordinates are taken as they are",
    given="`DIR` or `FILE.csv`",
    find=partial(find_files, suffix=".csv", is_ours=_is_ours, read=_read),
)
