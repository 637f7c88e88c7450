"""Says what a place that no format recognizes looks like, and what to do about it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from detzoo.data.formats.base import UNDIVIDED, Format, Source
from detzoo.data.formats.image_files import folders_below
from detzoo.data.formats.sniff import beginning, files_of, json_outline
from detzoo.data.images import EXTENSIONS
from detzoo.errors import DataError

_UNPACK = {
    ".zip": "unzip {file} -d {folder}",
    ".tar": "tar -xf {file} -C {folder}",
    ".tgz": "tar -xf {file} -C {folder}",
    ".gz": "tar -xf {file} -C {folder}",
    ".bz2": "tar -xf {file} -C {folder}",
    ".xz": "tar -xf {file} -C {folder}",
    ".7z": "7z x {file} -o{folder}",
    ".rar": "unrar x {file} {folder}/",
}
_OTHER_STORES = {
    ".tfrecord": "TensorFlow's records",
    ".tfrecords": "TensorFlow's records",
    ".mdb": "an LMDB database",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".mat": "Matlab's",
}
_POINTER = "version https://git-lfs.github.com"
# Files that are counted of a folder, which may have millions.
_MOST_COUNTED = 10_000


def check_is_no_pointer(file: Path) -> None:
    """Raises :class:`DataError` if Git LFS has left a pointer instead of the file."""
    if file.is_file() and beginning(file, len(_POINTER)) == _POINTER:
        raise DataError(
            f"{file}: is a pointer of Git LFS, not the file itself. "
            "Run 'git lfs pull' in its repository."
        )


def why_unrecognized(
    path: Path, split: str, found: Mapping[str, Source], formats: tuple[Format, ...]
) -> DataError:
    """For a place in which there is no ``split``, but the splits that are ``found``, if any."""
    if found:
        there = ", ".join(name or "data that are not divided (train)" for name in found)
        name = next((name for name in found if name != UNDIVIDED), "train")
        return DataError(f"{path}: has no {split!r} split. It has: {there}. Add --split {name}.")
    if path.is_file():
        check_is_no_pointer(path)
        return DataError(f"{path}: {_file_looks_like(path)}")
    return DataError(
        f"{path}: is no data set in a known format.\n{_folder_looks_like(path, formats)}\n"
        f"Known formats: {', '.join(item.name for item in formats)}. The most common:\n"
        + "\n".join(
            f"  {item.name}: {item.layout.replace('{split}', split).replace('`', '')}"
            for item in formats
            if item.name in ("COCO", "Pascal VOC", "YOLO")
        )
    )


def _file_looks_like(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix in _UNPACK:
        folder = file.with_name(file.name.partition(".")[0])
        command = _UNPACK[suffix].format(file=file, folder=folder)
        return f"is an archive. Unpack it ('{command}') and give the folder {folder}."
    if suffix in _OTHER_STORES:
        return f"is in {_OTHER_STORES[suffix]} format, which is not read. Export it as COCO JSON."
    if suffix in EXTENSIONS:
        return "is an image. Give the folder of the data set, or its file of annotations."
    if suffix == ".csv":
        columns = next(iter(beginning(file, 4096).splitlines()), "")
        return (
            f"is a table with the columns {columns.replace(',', ', ')!r:.100}; one of boxes has "
            "filename, class, xmin, ymin, xmax, ymax, or no header and path, x1, y1, x2, y2, class."
        )
    if suffix == ".json":
        outline = json_outline(file)
        keys = ", ".join(sorted(outline.keys or outline.inner)[:8])
        return (
            f"holds a JSON {outline.kind} with the keys {keys}, which is in no known format. COCO "
            "has an object with images, annotations and categories. Is it a file of detections?"
        )
    if suffix in (".xml", ".txt"):
        return f"is a single file of a data set. Give its folder: --data {file.parent}"
    return (
        f"is no file of annotations in a known format ({suffix or 'no extension'}). "
        "Give the folder of the data set, or its file of annotations."
    )


def _folder_looks_like(folder: Path, formats: tuple[Format, ...]) -> str:
    """What is in it, and the one step that would help."""
    counts = Counter(islice(_suffixes(folder), _MOST_COUNTED))
    if not counts:
        return "The folder is empty."
    images = sum(count for suffix, count in counts.items() if suffix in EXTENSIONS)
    others = [(suffix, count) for suffix, count in counts.most_common() if suffix not in EXTENSIONS]
    listed = [f"{images} image{'' if images == 1 else 's'}"] * bool(images)
    listed += [f"{count} {suffix or 'without extension'}" for suffix, count in others[:6]]
    inner = [name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    text = f"It holds {', '.join(listed)} ({', '.join(inner[:8])}{', ...' if inner[8:] else ''})."
    return f"{text} {_what_to_do(folder, formats, images > 0, [suffix for suffix, _ in others])}"


def _what_to_do(
    folder: Path, formats: tuple[Format, ...], images: bool, suffixes: list[str]
) -> str:
    for inner in folders_below(folder)[1:]:
        name = next((item.name for item in formats if _finds(item, inner)), None)
        if name is not None:
            return f"{inner} looks like {name}: give --data {inner}"
    archive = next((file for file in files_of(folder, *_UNPACK)), None)
    if archive is not None:
        return f"{archive} {_file_looks_like(archive)}"
    for suffix in suffixes:
        if suffix in _OTHER_STORES:
            return f"{_OTHER_STORES[suffix]} files are not read: export them as COCO JSON."
    for file in files_of(folder, ".json", ".jsonl", ".csv", ".parquet", ".yaml"):
        check_is_no_pointer(file)
    file = next(iter(files_of(folder, ".json", ".jsonl")), None)
    if file is not None:
        keys = json_outline(file).keys or json_outline(file).inner
        return (
            f"{file} has the keys {', '.join(sorted(keys)[:8]) or 'of no object'}; "
            "COCO has images, annotations and categories."
        )
    if images and not {".xml", ".txt", ".csv"} & set(suffixes):
        return "There are images, but no annotations."
    return "Give the folder of one data set, or its file of annotations."


def _finds(item: Format, folder: Path) -> bool:
    try:
        return bool(item.find(folder))
    except DataError:
        return True


def _suffixes(folder: Path) -> Iterator[str]:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.splitext(name)[1].lower() for name in files if name[0] != ".")
