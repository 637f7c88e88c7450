"""Says what a place that no format recognizes looks like, and what to do about it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from detzoo.data.formats.annotation_files import ANNOTATION_FOLDERS
from detzoo.data.formats.archives import archives_in, unpacking, what_to_do
from detzoo.data.formats.base import SPLITS, UNDIVIDED, Format, Source, split_name
from detzoo.data.formats.image_files import folders_below
from detzoo.data.formats.sniff import beginning, files_of, json_outline
from detzoo.data.images import EXTENSIONS
from detzoo.errors import DataError

_OTHER_STORES = {
    ".tfrecord": "TensorFlow's records",
    ".tfrecords": "TensorFlow's records",
    ".mdb": "an LMDB database",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".mat": "Matlab's",
}
_POINTER = "version https://git-lfs.github.com"
# Of which the commands are shown.
_MOST_ARCHIVES = 8
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
        root = _root_of(path)
        is_part = path.suffix.lower() in (".json", ".xml", ".txt")
        whole = next((item.name for item in formats if is_part and _finds(item, root)), None)
        if whole is not None:
            return DataError(
                f"{path}: is a single file of a data set ({whole}). Give its folder: --data {root}"
            )
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


def _root_of(file: Path) -> Path:
    """The folder that a file of annotations may be a part of: ``x`` of ``x/labels/train/a.txt``."""
    folder = file.parent
    while folder.name.lower() in ANNOTATION_FOLDERS or (
        folder.name.isalpha() and split_name(folder.name) in SPLITS
    ):
        folder = folder.parent
    return folder


def _file_looks_like(file: Path) -> str:
    suffix = file.suffix.lower()
    packed = what_to_do(file)
    if packed is not None:
        return packed
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
    archives = archives_in(folder)
    if archives:
        commands = [unpacking(file, folder) for file in archives[:_MOST_ARCHIVES]]
        more = "" if len(archives) <= _MOST_ARCHIVES else "\n  ..."
        what = "is an archive. Unpack it" if len(archives) == 1 else "are archives. Unpack them"
        return f"There {what} first:\n  " + "\n  ".join(commands) + more
    for suffix in suffixes:
        if suffix in _OTHER_STORES:
            return f"{_OTHER_STORES[suffix]} files are not read: export them as COCO JSON."
    for part in files_of(folder, ".json", ".jsonl", ".csv", ".parquet", ".yaml"):
        check_is_no_pointer(part)
    tool = _other_tool(folder)
    if tool is not None:
        return f"It looks like an export of {tool}, which is not read: export COCO JSON instead."
    for file in files_of(folder, ".csv")[:1]:
        return f"{file} {_file_looks_like(file)}"
    for file in files_of(folder, ".json", ".jsonl")[:1]:
        keys = json_outline(file).keys or json_outline(file).inner
        return (
            f"{file} has the keys {', '.join(sorted(keys)[:8]) or 'of no object'}; "
            "COCO has images, annotations and categories."
        )
    if images and not {".xml", ".txt", ".csv", ".json"} & set(suffixes):
        return "There are images, but no annotations."
    return "Give the folder of one data set, or its file of annotations."


def _other_tool(folder: Path) -> str | None:
    """The annotation tool whose own format this is."""
    for place in folders_below(folder, depth=1):
        if files_of(place, ".createml.json"):
            return "CreateML"
        if files_of(place, ".ndjson"):
            return "Labelbox"
    if (folder / "meta.json").is_file() and any(folder.glob("*/ann")):
        return "Supervisely"
    return None


def _finds(item: Format, folder: Path) -> bool:
    try:
        return bool(item.find(folder))
    except DataError:
        return True


def _suffixes(folder: Path) -> Iterator[str]:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.splitext(name)[1].lower() for name in files if name[0] != ".")
