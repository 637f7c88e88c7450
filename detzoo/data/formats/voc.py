"""Reads annotations in Pascal VOC's XML format."""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from detzoo.data.annotations import Annotation, Annotations, Strings
from detzoo.data.dataset import DetectionDataset, check_class_names
from detzoo.data.formats.base import Format, Source, split_name
from detzoo.data.images import EXTENSIONS, image_size
from detzoo.data.union import union
from detzoo.errors import DataError

# The classes of the VOC challenges, in the order of the published models.
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(
    root: str | os.PathLike[str],
    split: str = "train",
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
) -> DetectionDataset:
    """Reads the images listed in ``root/ImageSets/Main/{split}.txt``, with their XML annotations.

    Coordinates are 1-based and include both corners; as in MMDetection, 1 is subtracted from all of
    them. Difficult objects become ignored boxes. In a folder called VOC20xx, the classes are the
    twenty of the challenges, in their order; otherwise, the sorted names in all XML files, so that
    all splits have the same. A name in ``class_names`` that no object has is an error unless
    ``allow_absent``. Raises :class:`DataError`, which names the file and the object.
    """
    folder = Path(root)
    listing = folder / "ImageSets" / "Main" / f"{split}.txt"
    names = image_names(listing)
    entries = {path.stem: path for path in sorted((folder / "Annotations").glob("*.xml"))}
    absent = [name for name in names if name not in entries]
    if absent:
        raise DataError(
            f"{listing}: lists {absent[0]!r}, which has no file {folder / 'Annotations'}/"
            f"{absent[0]}.xml ({len(absent)} such)."
        )
    parsed = [parse_image(entries[name]) for name in names]
    found = {item.name for image in parsed for item in image.objects}
    classes: tuple[str, ...] = VOC_CLASSES
    if not (found <= set(VOC_CLASSES) and is_challenge(folder)):
        rest = sorted(set(entries) - set(names))
        found |= {name for stem in rest for name in _class_names_in(entries[stem])}
        classes = tuple(sorted(found))
    check_class_names(classes, f"{folder / 'Annotations'}")
    label_of = {name: label for label, name in enumerate(classes)}
    files = _image_files(folder / "JPEGImages", names, parsed)
    sizes = [
        image.size or image_size(folder / "JPEGImages" / file) for image, file in zip(parsed, files)
    ]
    dataset = DetectionDataset(
        source=str(listing),
        image_dir=str(folder / "JPEGImages"),
        class_names=classes,
        category_ids=tuple(range(1, len(classes) + 1)),
        image_ids=Strings.of(names),
        file_names=Strings.of(files),
        sizes=torch.tensor(sizes, dtype=torch.int64),
        annotations=Annotations.build(len(names), annotations_of(parsed, label_of)),
    )
    if class_names is None:
        return dataset
    return dataset.select_classes(class_names, drop_others=drop_others, allow_absent=allow_absent)


@dataclass(frozen=True)
class _Object:
    name: str
    box: tuple[float, float, float, float]  # x, y, width, height
    is_difficult: bool


@dataclass(frozen=True)
class VocImage:
    """The image and the objects of an XML file."""

    folder: str | None
    file_name: str | None
    size: tuple[int, int] | None  # (height, width)
    objects: tuple[_Object, ...]


def image_names(listing: Path) -> list[str]:
    """The lines of a list of images."""
    try:
        # A flag may follow, as in the lists of a single class.
        names = [
            line.split()[0] for line in listing.read_text("utf-8").splitlines() if line.split()
        ]
    except FileNotFoundError:
        raise DataError(f"{listing}: no such list of images.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{listing}: cannot be read ({error}).") from None
    if not names:
        raise DataError(f"{listing}: lists no images.")
    seen = set()
    for name in names:
        if name in seen:
            raise DataError(f"{listing}: lists {name!r} twice. Remove one of the lines.")
        seen.add(name)
    return names


def _root(file: Path) -> ET.Element:
    try:
        return ET.parse(file).getroot()
    except ET.ParseError as error:
        line, column = error.position
        raise DataError(
            f"{file}: is not valid XML: line {line}, column {column + 1}: {error.msg}."
        ) from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from None


def parse_image(file: Path) -> VocImage:
    """Parses one XML file."""
    root = _root(file)
    size = None
    if root.find("size") is not None:
        width, height = _size_number(root, "width", file), _size_number(root, "height", file)
        # Some annotation tools write zeros for an unknown size.
        size = (height, width) if height > 0 and width > 0 else None
    objects = []
    for k, element in enumerate(root.findall("object")):
        where = f"{file}: object {k + 1}"
        name = (element.findtext("name") or "").strip()
        if not name:
            raise DataError(f"{where}: has no name.")
        x1, y1, x2, y2 = (_number(element, f"bndbox/{corner}", where) for corner in _CORNERS)
        difficult = element.findtext("difficult") or "0"
        if difficult.strip() not in ("0", "1"):
            raise DataError(f"{where} ({name}): difficult is {difficult!r} instead of 0 or 1.")
        box = (x1 - 1, y1 - 1, x2 - x1, y2 - y1)
        objects.append(_Object(name, box, difficult.strip() == "1"))
    return VocImage(root.findtext("folder"), root.findtext("filename"), size, tuple(objects))


def _size_number(root: ET.Element, key: str, file: Path) -> int:
    return int(_number(root, f"size/{key}", str(file)))


def _number(element: ET.Element, path: str, where: str) -> float:
    text = element.findtext(path)
    if text is None:
        raise DataError(f"{where}: has no {path}.")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {path} is {text!r} instead of a number.")
    return value


def _class_names_in(file: Path) -> set[str]:
    names = {(item.findtext("name") or "").strip() for item in _root(file).iter("object")}
    return names - {""}


def is_challenge(folder: Path) -> bool:
    """Whether a folder is one of the VOC challenges, by its name."""
    return re.fullmatch(r"VOC20\d\d", folder.resolve().name) is not None


def _image_files(folder: Path, names: list[str], parsed: list[VocImage]) -> list[str]:
    """The file of each image: its name with the extension of an image, or the one in its XML."""
    try:
        present = {entry.name for entry in os.scandir(folder)}
    except OSError:
        raise DataError(f"{folder}: no such folder; it should hold the images.") from None
    by_stem = {
        os.path.splitext(file)[0]: file
        for file in sorted(present, reverse=True)
        if file.lower().endswith(EXTENSIONS)
    }
    return [
        by_stem.get(name) or image.file_name or f"{name}.jpg" for name, image in zip(names, parsed)
    ]


def annotations_of(parsed: list[VocImage], label_of: dict[str, int]) -> list[Annotation]:
    """The objects of all images."""
    found: list[Annotation] = []
    for i, image in enumerate(parsed):
        for item in image.objects:
            found.append(
                Annotation(
                    image=i,
                    id=len(found) + 1,
                    label=label_of[item.name],
                    box=item.box,
                    area=max(item.box[2], 0.0) * max(item.box[3], 0.0),
                    is_ignored=item.is_difficult,
                )
            )
    return found


def _find(path: Path) -> dict[str, Source]:
    roots = [path] if _is_voc(path) else _voc_below(path)
    by_split: dict[str, list[tuple[Path, str]]] = {}
    for root in roots:
        for listing in sorted((root / "ImageSets" / "Main").glob("*.txt")):
            split = split_name(listing.stem) if "_" not in listing.stem else None
            by_split.setdefault(listing.stem if split is None else split, []).append(
                (root, listing.stem)
            )
    return {
        split: Source(path, partial(_read_all, path, places)) for split, places in by_split.items()
    }


def _is_voc(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("Annotations", "ImageSets/Main", "JPEGImages"))


def _voc_below(path: Path) -> list[Path]:
    """VOC folders one level down, or in ``VOCdevkit``."""
    if not path.is_dir():
        return []
    folders = [*sorted(path.iterdir())]
    devkit = path / "VOCdevkit"
    if devkit.is_dir():
        folders += sorted(devkit.iterdir())
    return [folder for folder in folders if _is_voc(folder)]


def _read_all(path: Path, places: list[tuple[Path, str]], images: Path | None) -> DetectionDataset:
    """Several years of the challenge are one data set; other folders are not."""
    if len(places) > 1 and not all(is_challenge(root) for root, _ in places):
        listed = ", ".join(str(root) for root, _ in places)
        raise DataError(f"{path}: has several data sets ({listed}). Give the path of one of them.")
    dataset = union([read_voc(root, split) for root, split in places])
    return dataset if images is None else replace(dataset, image_dir=str(images))


FORMAT = Format(
    name="Pascal VOC",
    layout=(
        "Annotations/*.xml, ImageSets/Main/{split}.txt and JPEGImages/, in the folder itself, one "
        "level down, or in VOCdevkit/VOC2012; several years make one data set"
    ),
    flags="difficult is ignored",
    find=_find,
)
