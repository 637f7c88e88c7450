"""Reads Open Images (https://storage.googleapis.com/openimages/web/download_v7.html).

Besides boxes, these are the image-level labels that people verified, and the hierarchy of classes,
which its metric uses. The files of its challenges have fewer columns and other names, and
MMDetection 2.x distributes them in another form (``open_images_lists``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from detzoo.data.annotations import LabelLists
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, image_folders
from detzoo.data.formats.base import (
    Format,
    ImageRecord,
    ObjectRecord,
    Source,
    counted,
    split_name,
)
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import folders_below, images_below
from detzoo.data.formats.open_images_lists import is_list, read_list, read_numbers, read_tree
from detzoo.data.formats.sniff import csv_rows, files_of, first_row
from detzoo.data.open_images import OpenImagesLabels, read_ancestors
from detzoo.data.reading import entry
from detzoo.errors import DataError
from detzoo.files import read_json

_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_COLUMNS_OF_LABELS = ("ImageID", "LabelName", "Confidence")


def _is_ours(file: Path) -> bool:
    return set(_COLUMNS) <= set(first_row(file))


def _read(file: Path, images: Path | None) -> DetectionDataset:
    folder, names = _images(file, images)
    objects: dict[str, list[ObjectRecord]] = defaultdict(list)
    absent = set()
    class_names = _class_names(file)
    for where, cells in _cells(file):
        with entry():
            if cells["ImageID"] in names:
                objects[cells["ImageID"]].append(_object(cells, class_names, where))
            else:
                absent.add(cells["ImageID"])
    records = [
        ImageRecord(names[image], objects[image], f"{file}: {image}", in_fractions=True)
        for image in objects
    ]
    dataset = _built(records, file, folder, class_names, len(absent))
    return _with_labels(dataset, file, class_names)


def _read_list(file: Path, images: Path | None) -> DetectionDataset:
    """MMDetection's form of the challenge's boxes."""
    numbering = _file_of_numbers(file)
    if numbering is None:
        raise DataError(
            f"{file}: says classes by their numbers, and the file that tells them is not beside "
            "it. Copy cls-label-description.csv there."
        )
    numbers = read_numbers(numbering)
    listed = [*read_list(file, {number: name for number, (_, name) in numbers.items()})]
    folder = _folder_of_list(file, images, [name for name, _, _ in listed])
    records = [
        ImageRecord(name, objects, where, in_fractions=True)
        for name, objects, where in listed
        if (folder / name).is_file()
    ]
    class_names = dict(numbers.values())
    dataset = _built(records, file, folder, class_names, len(listed) - len(records))
    return _with_labels(dataset, file, class_names)


def _folder_of_list(file: Path, images: Path | None, names: list[str]) -> Path:
    """The folder that the names in a list start from: beside it or its folder."""
    around = [file.parent, file.parent.parent, *folders_below(file.parent.parent, depth=1)]
    for folder in around if images is None else [images]:
        if any((folder / name).is_file() for name in names):
            return folder
    raise DataError(
        f"{file}: none of its {len(names)} images is there, such as {names[0] if names else ''}. "
        "Give the folder that these names start from: --images."
    )


def _built(
    records: list[ImageRecord],
    file: Path,
    folder: Path,
    class_names: Mapping[str, str],
    num_absent: int,
) -> DetectionDataset:
    if not records:
        raise DataError(f"{file}: none of its {num_absent} images is in {folder}.")
    left_out = f"{counted(num_absent, 'image')} of {file.name} left out: not there"
    return build_dataset(
        records,
        source=file,
        image_dir=folder,
        class_names=[*class_names.values()] or None,
        notes=[left_out] * bool(num_absent),
    )


def _with_labels(
    dataset: DetectionDataset, file: Path, class_names: Mapping[str, str]
) -> DetectionDataset:
    """The same with image-level labels and hierarchy, where they are."""
    label_of = {name: label for label, name in enumerate(dataset.class_names)}
    label_of |= {machine_id: label_of[name] for machine_id, name in class_names.items()}
    missing = []
    labels = _file_of_labels(file)
    verified: dict[str, list[int]] = defaultdict(list)
    if labels is None:
        missing.append("image-level labels (*-human-imagelabels.csv)")
    else:
        for where, cells in _cells(labels):
            with entry():
                # Fractions are those of labels that no one verified.
                if _confidence(cells, where) in (0, 1) and cells["LabelName"] in label_of:
                    verified[cells["ImageID"]].append(label_of[cells["LabelName"]])
    images = [Path(dataset.file_names[i]).stem for i in range(len(dataset))]

    ancestors = LabelLists.of([[] for _ in dataset.class_names])
    hierarchy, tree = _hierarchy(file), _tree(file)
    if hierarchy is not None:
        ancestors = read_ancestors(read_json(hierarchy), label_of, str(hierarchy))
    elif tree is not None:
        ancestors = read_tree(tree, len(dataset.class_names))
    else:
        missing.append("the hierarchy of classes (*hierarchy.json)")
    found = OpenImagesLabels(LabelLists.of([verified.get(i, []) for i in images]), ancestors)
    notes = [f"evaluated without {' and '.join(missing)}: not there"] * bool(missing)
    return replace(dataset, open_images=found, notes=(*dataset.notes, *notes))


def _cells(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a table by the names of its columns, after where it is.

    Rows with a wrong number of columns are an error.
    """
    header: list[str] = []
    for k, row in enumerate(csv_rows(file), 1):
        if k == 1:
            header = row
            continue
        where = f"{file}: line {k}"
        with entry():
            if len(row) != len(header):
                raise DataError(f"{where}: has {len(row)} columns instead of {len(header)}.")
            yield where, dict(zip(header, row))


def _images(file: Path, images: Path | None) -> tuple[Path, dict[str, str]]:
    """The image folder, and its files by the ids of images."""
    for folder in image_folders(file) if images is None else [images]:
        present = images_below(folder)
        if present:
            return folder, {Path(name).stem: name for name in present}
    raise DataError(f"{file}: there are no images beside it. Name the folder that has them.")


def _files_beside(file: Path, suffix: str) -> list[Path]:
    root = file.parent.parent if file.parent.name in ("annotations", "labels") else file.parent
    return [other for folder in folders_below(root, depth=1) for other in files_of(folder, suffix)]


def _class_names(file: Path) -> dict[str, str]:
    """Names by machine ids, of a file such as ``class-descriptions-boxable.csv``."""
    for other in _files_beside(file, ".csv"):
        name = other.name.lower().replace("_", "-")
        if "class-descriptions" in name or "classes-description" in name:
            return {row[0]: row[1] for row in csv_rows(other) if len(row) in (2, 3)}
    return {}


def _file_of_labels(file: Path) -> Path | None:
    """The image-level labels of the split that ``file`` has the boxes of; those of classes with
    boxes rather than those of all."""
    choice = [
        other
        for other in _files_beside(file, ".csv")
        if "machine" not in other.name.lower()
        and set(_COLUMNS_OF_LABELS) <= (columns := set(first_row(other)))
        and "XMin" not in columns
        and _split(other) == _split(file)
    ]
    return min(choice, key=lambda other: "boxable" not in other.name.lower(), default=None)


def _split(file: Path) -> str | None:
    return split_name(file.stem) or split_name(file.parent.name)


def _hierarchy(file: Path) -> Path | None:
    """A file such as ``bbox_labels_600_hierarchy.json``."""
    choice = (one for one in _files_beside(file, ".json") if "hierarchy" in one.name.lower())
    return next(choice, None)


def _tree(file: Path) -> Path | None:
    """The hierarchy in MMDetection's form, for the classes of its numbering."""
    if _file_of_numbers(file) is None:
        return None
    choice = (one for one in _files_beside(file, ".np") if "label_tree" in one.name.lower())
    return next(choice, None)


def _file_of_numbers(file: Path) -> Path | None:
    """A file such as ``cls-label-description.csv``."""
    choice = (one for one in _files_beside(file, ".csv") if "label-desc" in one.name.lower())
    return next(choice, None)


def _find(path: Path) -> dict[str, Source]:
    return find_files(path, ".csv", _is_ours, _read) or find_files(
        path, ".txt", is_list, _read_list
    )


def _confidence(cells: dict[str, str], where: str) -> float:
    try:
        return float(cells["Confidence"])
    except ValueError:
        raise DataError(f"{where}: its Confidence is no number.") from None


def _object(cells: dict[str, str], class_names: Mapping[str, str], where: str) -> ObjectRecord:
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
        "`*-annotations-bbox.csv`, `class-descriptions-boxable.csv`, as many of the images as were "
        "downloaded, and for its metric `*-human-imagelabels-boxable.csv` and "
        "`bbox_labels_600_hierarchy.json`; or the challenge's `*-detection-bbox.csv` and its like; "
        "or MMDetection's `*-detection-bbox.txt`, `cls-label-description.csv`, "
        "`class_label_tree.np`"
    ),
    flags="`IsGroupOf` makes a crowd; occluded, truncated, inside and depicted objects count; "
    "classes that were not verified in an image count as absent in training, and not at all in "
    "evaluation",
    given="`DIR`, `FILE.csv` or `FILE.txt`",
    find=_find,
)
