"""Reads YOLO's labels as Ultralytics, Darknet and annotation tools lay them out.

Each image has a text file: that of ``images/a.jpg`` is ``labels/a.txt``, or ``a.txt`` beside the
image. A line is a class and a box, ``3 .5 .5 .2 .1`` (center, width and height), or a class and the
points of a polygon, ``3 .4 .4 .6 .4 .6 .5``. Numbers are fractions of width and height.

Specifications: https://docs.ultralytics.com/datasets/detect and /segment, and
https://github.com/AlexeyAB/darknet#how-to-train-to-detect-your-custom-objects
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import (
    SPLITS,
    UNDIVIDED,
    Format,
    ImageRecord,
    ObjectRecord,
    Source,
    split_name,
)
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import folders_below, images_below, locate_images
from detzoo.data.formats.sniff import beginning, files_of, read_text
from detzoo.data.reading import entry
from detzoo.errors import DataError

_CLASS_FILES = (
    *("classes.txt", "obj.names", "classes.names", "_darknet.labels", "labels.txt"),
    "predefined_classes.txt",
)
# A box may reach over the edge of its image; further out, numbers are pixels.
_LARGEST_FRACTION = 2.0
_MOST_CLASSES = 10**6


@dataclass(frozen=True)
class _Split:
    """The image folders and lists of images of one split: ``places``; those ``absent`` are named.

    ``root`` is what lists are relative to. Without ``class_names`` classes are numbers.
    ``keypoint_numbers`` follow each box.
    """

    source: Path
    root: Path
    places: tuple[Path, ...]
    class_names: tuple[str, ...] | None
    absent: tuple[str, ...] = ()
    keypoint_numbers: int = 0
    notes: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------ finding


def _find(path: Path) -> dict[str, Source]:
    if path.is_file():
        return _described(path) if path.suffix.lower() in _DESCRIPTIONS else {}
    if not path.is_dir():
        return {}
    for file in files_of(path, *_DESCRIPTIONS):
        if _is_description(file):
            return _described(file)
    return _undescribed(path)


def _is_description(file: Path) -> bool:
    text = beginning(file)
    has_classes = "names" in text or re.search(r"^nc\s*:", text, re.M) is not None
    return has_classes and any(split in text for split in ("train", "val", "test"))


def _described(file: Path) -> dict[str, Source]:
    """The splits of a ``data.yaml`` or ``obj.data`` that are there."""
    content = _DESCRIPTIONS[file.suffix.lower()](file)
    roots = _roots(file, content.get("path"))
    class_names = _class_names(content, file)
    splits: dict[str, _Split] = {}
    for key in ("train", "val", "valid", "validation", "test"):
        value = content.get(key)
        entries = [str(entry) for entry in (value if isinstance(value, list) else [value]) if entry]
        found = {entry: _place(entry, roots) for entry in entries}
        places = tuple(place for place in found.values() if place is not None)
        # Many a description names a val or test that nobody has made.
        if not entries or (not places and key != "train"):
            continue
        split = split_name(key) or key
        splits[split] = _Split(
            source=file,
            root=roots[0],
            places=places,
            absent=tuple(entry for entry, place in found.items() if place is None),
            class_names=class_names,
            keypoint_numbers=_keypoint_numbers(content, file),
            notes=_note_if_same(split, places, splits),
        )
    return {name: Source(file, partial(_read, split)) for name, split in splits.items()}


def _note_if_same(
    split: str, places: tuple[Path, ...], others: Mapping[str, _Split]
) -> tuple[str, ...]:
    same = next((name for name, other in others.items() if other.places == places), None)
    return () if same is None else (f"{split} are the images of {same}",)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        # Every scalar stays text: in YAML 1.1, a class called "no" would be False.
        content = yaml.load(read_text(file), yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        problem = getattr(error, "problem", None) or type(error).__name__
        raise DataError(f"{file}{line}: is not valid YAML: {problem}.") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds no keys; a data.yaml has train, val and names.")
    return content


def _read_darknet(file: Path) -> dict[str, Any]:
    pairs = [line.partition("=") for line in read_text(file).splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, _, value in pairs}


_DESCRIPTIONS = {".yaml": _read_yaml, ".yml": _read_yaml, ".data": _read_darknet}


def _class_names(content: dict[str, Any], file: Path) -> tuple[str, ...] | None:
    names = content.get("names")
    if isinstance(names, str) and names:  # data/obj.names
        place = _place(names, [file.parent])
        if place is None:
            raise DataError(f"{file}: names {names!r} as the file of class names; it is not there.")
        names = _lines(place)
    if isinstance(names, dict):
        numbers = sorted((int(key), str(name)) for key, name in names.items() if key.isdecimal())
        if [number for number, _ in numbers] != list(range(len(names))):
            raise DataError(
                f"{file}: the keys of names are {', '.join(list(names)[:10])}, not the numbers "
                f"0 to {len(names) - 1}."
            )
        return tuple(name for _, name in numbers)
    if isinstance(names, list) and names:
        return tuple(str(name) for name in names)
    count = content.get("nc")
    if isinstance(count, str) and count.isdecimal() and 0 < int(count) < _MOST_CLASSES:
        return tuple(str(number) for number in range(int(count)))
    return None


def _keypoint_numbers(content: dict[str, Any], file: Path) -> int:
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    are_texts = isinstance(shape, list) and all(isinstance(n, str) for n in shape)
    if not (are_texts and len(shape) == 2 and all(map(str.isdecimal, shape))):
        raise DataError(f"{file}: kpt_shape is {shape!r} instead of [points, numbers of each].")
    return int(shape[0]) * int(shape[1])


def _roots(file: Path, path: Any) -> list[Path]:
    """What the entries of a description may be relative to: it may come from another machine."""
    here = file.resolve().parent
    if not isinstance(path, str) or not path:
        return [here]
    stated = [here / path, here.parent / path, here / Path(path).name]
    return [*(folder for folder in stated if os.path.isdir(folder)), here]


def _place(entry: str, roots: Sequence[Path]) -> Path | None:
    """The folder or list that ``entry`` names, which holds images or will be an error.

    ``../train/images`` is meant from the folder of its file, as Roboflow writes it and Ultralytics
    reads it. Of a path of another machine, folders at the beginning are dropped, but none that is
    called like a split.
    """
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".")]
    for root in roots:
        if os.path.exists(root / entry):
            return (root / entry).resolve()
    for dropped in range(len(parts)):
        if any(split_name(part) in SPLITS for part in parts[:dropped]):
            break
        for root in roots:
            place = root.joinpath(*parts[dropped:])
            if parts[dropped] != ".." and os.path.exists(place):
                return place.resolve()
    return None


def _undescribed(path: Path) -> dict[str, Source]:
    """Folders of labels that no description names, by the splits in their paths."""
    by_split: dict[str, list[Path]] = {}
    roots: dict[str, set[Path]] = {}
    classes: tuple[str, ...] | None = None
    for folder in folders_below(path):
        texts = files_of(folder, ".txt")
        named = next((folder / name for name in _CLASS_FILES if (folder / name).is_file()), None)
        if named is not None and classes is None:
            classes = tuple(_lines(named))
        labels = [file for file in texts if file.name not in _CLASS_FILES]
        images = _images_of(folder) if any(map(_is_label_file, labels[:20])) else None
        if images is None:
            continue
        own = (split_name(name) for name in folder.relative_to(path).parts[::-1])
        split = next((name for name in own if name is not None), UNDIVIDED)
        by_split.setdefault(split, []).append(images)
        if "labels" in folder.relative_to(path).parts:
            above = next(place for place in folder.parents if "labels" not in place.parts)
            roots.setdefault(split, set()).add(above)
    for found in roots.values():
        if len(found) > 1:
            listed = ", ".join(str(root) for root in sorted(found)[:4])
            raise DataError(
                f"{path}: has {len(found)} folders of labels for the same split (in {listed}). "
                "Give the path of one data set."
            )
    note = (
        () if classes else ("no file of class names (classes.txt): classes are called 0, 1, ...",)
    )
    return {
        name: Source(path, partial(_read, _Split(path, path, tuple(folders), classes, notes=note)))
        for name, folders in by_split.items()
    }


def _images_of(labels: Path) -> Path | None:
    """The folder of images of a folder of labels, which may be the same."""
    parts = list(labels.parts)
    if "labels" in parts:
        last = len(parts) - 1 - parts[::-1].index("labels")
        images = Path(*parts[:last], "images", *parts[last + 1 :])
        if images.is_dir():
            return images
    return labels if images_below(labels) else None


def _is_label_file(file: Path) -> bool:
    words = next((line.split() for line in beginning(file, 4096).splitlines() if line.split()), [])
    try:
        numbers = [float(word) for word in words[1:]]
    except ValueError:
        return False
    return len(numbers) >= 4 and words[0].isdecimal() and max(numbers) <= _LARGEST_FRACTION


# ------------------------------------------------------------------------------------ reading


def _read(split: _Split, images: Path | None) -> DetectionDataset:
    if split.absent and images is None:
        raise DataError(
            f"{split.source}: names {split.absent[0]!r}, which is neither below {split.root} nor "
            "at that path. Write where the folder of images is, relative to this file."
        )
    files = _image_files(split, images)
    if not files:
        places = ", ".join(map(str, split.places))
        raise DataError(f"{split.source}: there are no images in {places}.")
    folder = Path(os.path.commonpath([file.parent for file in files]))
    records = list(_records(files, folder, split))
    if not any(_label_file(file).is_file() for file in files):
        raise DataError(
            f"{split.source}: none of its {len(files)} images has a file of labels; that of "
            f"{files[0]} would be {_label_file(files[0])}."
        )
    class_names = split.class_names
    if class_names is None:
        most = max((int(item.class_name or 0) for r in records for item in r.objects), default=0)
        class_names = tuple(str(number) for number in range(most + 1))
    return build_dataset(
        records, source=split.source, image_dir=folder, class_names=class_names, notes=split.notes
    )


def _image_files(split: _Split, images: Path | None) -> list[Path]:
    files: dict[Path, None] = {}
    for place in split.places if images is None else [images]:
        if place.is_dir():
            folder, names = place, images_below(place)
        else:
            names = _lines(place)
            if not names:
                raise DataError(f"{place}: lists no images.")
            located = locate_images(names, [place.parent, split.root, *folders_below(split.root)])
            if located is None:
                raise DataError(
                    f"{place}: lists {names[0]!r}, which is not below {split.root}. Put the images "
                    "there, or write where they are."
                )
            folder, names = located.folder, located.names
        files.update(dict.fromkeys(folder / name for name in names))
    return list(files)


def _records(files: Sequence[Path], folder: Path, split: _Split) -> Iterator[ImageRecord]:
    for file in files:
        labels = _label_file(file)
        lines: list[str] = []
        with entry():
            lines = read_text(labels).splitlines() if labels.is_file() else []
        yield ImageRecord(
            file_name=file.relative_to(folder).as_posix(),
            objects=_objects(lines, split, labels),
            where=str(labels),
            in_fractions=True,
        )


def _objects(lines: Sequence[str], split: _Split, labels: Path) -> list[ObjectRecord]:
    found = []
    for k, line in enumerate(lines, 1):
        with entry():
            if line.strip():
                found.append(_object(line.split(), split, f"{labels}: line {k}"))
    return found


def _label_file(image: Path) -> Path:
    """``images/a.jpg`` -> ``labels/a.txt``, or the text file beside the image."""
    parts = list(image.parts)
    beside = image.with_suffix(".txt")
    if "images" not in parts[:-1]:
        return beside
    last = len(parts) - 2 - parts[-2::-1].index("images")
    labels = Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")
    return beside if not labels.is_file() and beside.is_file() else labels


def _object(words: Sequence[str], split: _Split, where: str) -> ObjectRecord:
    try:
        number, *values = map(float, words)
    except ValueError:
        raise DataError(f"{where}: {' '.join(words)!r:.60} are not numbers.") from None
    name = _class_name(number, split, where)
    outside = next((value for value in values if not abs(value) <= _LARGEST_FRACTION), None)
    if outside is not None:
        raise DataError(
            f"{where}: {outside:g} is no fraction of the width or height of the image (0 to 1). "
            "Divide coordinates in pixels by the size of the image."
        )
    if len(values) == 4 or (split.keypoint_numbers and len(values) == 4 + split.keypoint_numbers):
        x, y, width, height = values[:4]
        return ObjectRecord(name, (x - width / 2, y - height / 2, width, height))
    if len(values) >= 6 and len(values) % 2 == 0:
        return ObjectRecord(name, polygons=(values,))
    raise DataError(
        f"{where}: holds {len(words)} numbers. A line is a class and the 4 numbers of a box, or a "
        "class and the 6 or more of a polygon."
    )


def _class_name(number: float, split: _Split, where: str) -> str:
    names = split.class_names
    if not (number.is_integer() and 0 <= number < (_MOST_CLASSES if names is None else len(names))):
        known = "a whole number" if names is None else f"0 to {len(names) - 1}"
        raise DataError(
            f"{where}: the class is {number:g}; {split.source} has {known}. Classes count from 0."
        )
    return str(int(number)) if names is None else names[int(number)]


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


FORMAT = Format(
    name="YOLO",
    layout=(
        "`data.yaml` (Ultralytics, Roboflow, CVAT) or `obj.data` (Darknet, CVAT) with class names "
        "and folders or lists of images; or `images/` and `labels/`, by split or not, with "
        "`classes.txt` (Label Studio); or text files beside the images. Boxes and polygons"
    ),
    flags="the format has none; keypoints are left out",
    find=_find,
    given="`DIR` or `data.yaml`",
)
