"""Reads Pascal VOC: an XML file per image, wherever XML, images and lists of images lie."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import (
    SPLITS,
    UNDIVIDED,
    Format,
    ImageRecord,
    Source,
    counted,
    split_name,
)
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import folders_below, images_below
from detzoo.data.formats.sniff import beginning, files_of, read_text
from detzoo.data.formats.voc_xml import XmlImage, parse_image, read_xml
from detzoo.data.images import EXTENSIONS
from detzoo.data.reading import entry, read_each, reads_on
from detzoo.data.union import union
from detzoo.errors import DataError

# The classes of the VOC challenges, in the order of the published models.
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_XML_FOLDERS = ("annotations", "annotation", "annots", "xml", "xmls", "labels")
_IMAGE_FOLDERS = ("jpegimages", "images", "image", "imgs", "img")
_LIST_SUFFIXES = (".xml", *EXTENSIONS)
_ANNOTATION = re.compile(r"<(\w+:)?annotation[\s/>]")
# A flag of the lists of a class (-1, 0, 1), or the annotation in lists of pairs.
_AFTER_NAME = re.compile(r"\s+(-?[01]|\S+\.xml)$")


@dataclass(frozen=True)
class _Place:
    """A folder ``root`` with XML files in or below ``xml``; ``lists`` of images by their names."""

    root: Path
    xml: Path
    lists: dict[str, Path]


# ------------------------------------------------------------------------------------ finding


def _find(path: Path) -> dict[str, Source]:
    if not path.is_dir():
        return {}
    by_split: dict[str, list[tuple[_Place, Path | None]]] = defaultdict(list)
    for place in _places(path):
        for split, listing in place.lists.items():
            by_split[split].append((place, listing))
        if not place.lists:
            by_split[_split_of(place.root, path)].append((place, None))
    return {
        split: Source(choice[0][1] or choice[0][0].xml, partial(_read_all, path, choice))
        for split, choice in by_split.items()
    }


def _split_of(folder: Path, path: Path) -> str:
    """``path/train`` is "train"; other folders without lists are not divided."""
    return (split_name(folder.name) or UNDIVIDED) if folder != path else UNDIVIDED


def _places(path: Path) -> list[_Place]:
    """The folder itself, or those of the first level below it that has any."""
    level = [path]
    for _ in range(4):
        found = [place for folder in level if (place := _place(folder)) is not None]
        if found:
            return found
        level = [inner for folder in level for inner in folders_below(folder, depth=1)[1:]][:200]
    return []


def _place(folder: Path) -> _Place | None:
    inner = {other.name.lower(): other for other in folders_below(folder, depth=1)[1:]}
    sets = inner.get("imagesets")
    for xml in (*(inner[name] for name in _XML_FOLDERS if name in inner), folder):
        is_strict = sets is not None and xml.name.lower() == "annotations"
        if is_strict or _has_annotations(xml, deep=xml != folder):
            return _Place(folder, xml, _lists(folder, sets))
    return None


def _has_annotations(folder: Path, *, deep: bool) -> bool:
    """Whether one of the first XML files is Pascal VOC's. In the root of a data set, what lies
    below does not count: that may be several data sets."""
    places = folders_below(folder, depth=3) if deep else [folder]
    first = next((files for place in places if (files := files_of(place, ".xml"))), [])
    return any(_ANNOTATION.search(beginning(file, 4096)) for file in first[:5])


def _lists(folder: Path, sets: Path | None) -> dict[str, Path]:
    """The lists in ``ImageSets/Main``, else elsewhere in ``ImageSets``, else beside the folders."""
    inner = [] if sets is None else sorted(folders_below(sets, depth=1)[1:])
    inner.sort(key=lambda place: place.name.lower() != "main")
    for place in [*inner[:1], *([] if sets is None else [sets]), *inner[1:]]:
        found = files_of(place, ".txt")
        if found:
            return {_list_name(file): file for file in found}
    named = {_list_name(file): file for file in files_of(folder, ".txt")}
    return {name: file for name, file in named.items() if name in (*SPLITS, UNDIVIDED, "trainval")}


def _list_name(file: Path) -> str:
    """The split of ``train.txt`` or ``Train2.txt``; ``cat_train.txt`` is a list of its own."""
    is_word = re.fullmatch(r"[A-Za-z]+\d*", file.stem)
    split = split_name(file.stem) if is_word else None
    return file.stem if split is None else split


# ------------------------------------------------------------------------------------ reading


def _read_all(
    path: Path, choice: Sequence[tuple[_Place, Path | None]], images: Path | None
) -> DetectionDataset:
    """Several years of the challenge are one data set; other folders are not."""
    if len(choice) > 1 and not all(_is_challenge(place.root) for place, _ in choice):
        listed = ", ".join(str(place.root) for place, _ in choice[:4])
        more = ", ..." if len(choice) > 4 else ""
        raise DataError(
            f"{path}: has several data sets ({listed}{more}). Give the path of one of them."
        )
    return union([_read(place, listing, images) for place, listing in choice])


def _read(place: _Place, listing: Path | None, images: Path | None) -> DetectionDataset:
    """Reads the images of a list, or all.

    In a folder called VOC20xx, classes are the twenty of the challenges, in their order; otherwise,
    the sorted names of what any list of the folder has, so that all splits have the same.
    """
    entries = _xml_files(place.xml)
    names = list(entries) if listing is None else _listed(listing, entries, place.xml)
    parsed = dict(read_each(lambda name: (name, parse_image(entries[name])), names))
    folder, files = _image_files(place, parsed, images)
    notes = []
    if listing is None:
        without = len(set(images_below(folder)) - set(files))
        if without:
            notes.append(f"{counted(without, 'image')} without XML left out")
    return build_dataset(
        (
            ImageRecord(
                file, image.objects, str(entries[name]), image.size, left_out=image.left_out
            )
            for (name, image), file in zip(parsed.items(), files)
        ),
        source=listing or place.xml,
        image_dir=folder,
        class_names=_class_names(place, parsed, entries),
        notes=notes,
    )


def _xml_files(folder: Path) -> dict[str, Path]:
    """The XML files in and below a folder by their paths from it, without the extension."""
    return {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for place in folders_below(folder, depth=3)
        for file in files_of(place, ".xml")
    }


def image_names(listing: Path) -> list[str]:
    """The lines of a list of images that are not blank. Raises :class:`DataError`."""
    names = [line.strip() for line in read_text(listing).splitlines() if line.strip()]
    if not names:
        raise DataError(f"{listing}: lists no images.")
    return names


def _listed(listing: Path, entries: dict[str, Path], folder: Path) -> list[str]:
    """The entries that the lines of a list name."""
    by_base = {os.path.basename(name): name for name in reversed(entries)}
    names: dict[str, None] = {}
    lines = image_names(listing)
    absent = []
    for line in lines:
        name = _entry(line, entries, by_base)
        if name is None:
            if not line.startswith("#"):
                absent.append(line)
            continue
        with entry():
            if name in names:
                raise DataError(f"{listing}: lists {line!r} twice. Remove one of the lines.")
            names[name] = None
    for line in absent:
        such = "" if reads_on() else f" ({len(absent)} such)"
        with entry():
            raise DataError(
                f"{listing}: lists {line!r}, which has no file {folder}/{line}.xml{such}. Add the "
                "file, or remove the line."
            )
    return list(names)


def _entry(line: str, entries: dict[str, Path], by_base: dict[str, str]) -> str | None:
    """A line is a name, which may have blanks, an extension, or folders before it."""
    for text in (line, _AFTER_NAME.sub("", line)):
        name = text.replace("\\", "/").removeprefix("./")
        stem, extension = os.path.splitext(name)
        for key in (name, stem if extension.lower() in _LIST_SUFFIXES else name):
            if key in entries:
                return key
            if os.path.basename(key) in by_base:
                return by_base[os.path.basename(key)]
    return None


def _image_files(
    place: _Place, parsed: dict[str, XmlImage], images: Path | None
) -> tuple[Path, list[str]]:
    """The image folder, and the file of each image in it."""
    inner = folders_below(place.root, depth=1)[1:]
    likely = [folder for folder in inner if folder.name.lower() in _IMAGE_FOLDERS]
    likely.sort(key=lambda folder: _IMAGE_FOLDERS.index(folder.name.lower()))
    folders = [*likely, place.xml, place.root] if images is None else [images]
    for folder in folders:
        present = images_below(folder)
        if present:
            return folder, _matched(parsed, present)
    missing = folders[0] if likely or images is not None else place.root / "JPEGImages"
    raise DataError(f"{missing}: no such folder of images; it should hold those of {place.xml}.")


def _matched(parsed: dict[str, XmlImage], present: list[str]) -> list[str]:
    """By name: the file that the XML names if it is called like it, or one with another extension.
    Else whatever the XML names, which may be missing."""
    by_stem: dict[str, str] = {}
    for file in reversed(present):
        stem = os.path.splitext(file)[0]
        by_stem.setdefault(os.path.basename(stem), file)
        by_stem[stem] = file
    known = set(present)
    files = []
    for name, image in parsed.items():
        stated = os.path.join(os.path.dirname(name), image.file_name or "")
        is_like = os.path.splitext(stated)[0] == name and stated in known
        found = by_stem.get(name) or by_stem.get(os.path.basename(name))
        files.append(stated if is_like else found or image.file_name or f"{name}.jpg")
    return files


def _class_names(
    place: _Place, parsed: dict[str, XmlImage], entries: dict[str, Path]
) -> tuple[str, ...]:
    found = {item.class_name or "" for image in parsed.values() for item in image.objects}
    if found <= set(VOC_CLASSES) and _is_challenge(place.root):
        return VOC_CLASSES
    by_base = {os.path.basename(name): name for name in entries}
    for listing in place.lists.values():
        lines = read_text(listing).splitlines()
        others = {_entry(line.strip(), entries, by_base) for line in lines} - parsed.keys() - {None}
        found |= _names_in(entries[name] for name in others if name is not None)
    return tuple(sorted(found))


def _names_in(files: Iterable[Path]) -> set[str]:
    """The names of the objects in files that may be broken: that is said when they are opened."""
    names = set()
    for file in files:
        try:
            elements = list(read_xml(file).iter("object"))
        except DataError:
            continue
        names |= {(element.findtext("name") or "").strip() for element in elements}
    return names - {""}


def _is_challenge(folder: Path) -> bool:
    """Whether a folder is one of the VOC challenges, by its name."""
    return re.fullmatch(r"VOC20\d\d", folder.resolve().name) is not None


FORMAT = Format(
    name="Pascal VOC",
    layout=(
        "`Annotations/*.xml`, `JPEGImages/` and `ImageSets/Main/{split}.txt`, in the folder itself "
        "or below it (`VOCdevkit/VOC2012`; several years make one data set). Images may be in "
        "`images/` or beside the XML; lists elsewhere in `ImageSets/`, at the root, or absent. "
        "`{split}/` with images and XML (Roboflow)"
    ),
    flags="difficult objects are ignored; truncated and occluded ones count",
    find=_find,
)
