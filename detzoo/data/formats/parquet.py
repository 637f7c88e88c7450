"""Reads detection sets of the Hugging Face Hub in Parquet: annotations and the bytes of images.

A row has an ``image`` with ``bytes`` and a ``path``, and ``objects`` with the lists ``bbox`` (x, y,
width, height) and ``category`` (https://huggingface.co/docs/datasets/object_detection). The names
of classes are those of the ``ClassLabel`` in the metadata of the file, or else in README.md.
Reading needs pyarrow.

Images are unpacked into the cache once, so that they can be read like any other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import as_undivided, split_of
from detzoo.data.formats.base import UNDIVIDED, Format, ImageRecord, Source
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.hugging_face import (
    Labeled,
    card_names,
    labeled_boxes,
    numbered_classes,
    objects_of,
)
from detzoo.data.formats.image_files import folders_below, is_image_name
from detzoo.data.formats.shapes import size_of
from detzoo.data.formats.sniff import beginning, files_of
from detzoo.data.reading import read_each
from detzoo.errors import DataError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

# Where images are unpacked to, unless this variable names another folder.
CACHE = "DETZOO_DATA_CACHE"
_ROWS = 64  # in memory at a time


def _find(path: Path) -> dict[str, Source]:
    if path.is_file():
        is_one = path.suffix.lower() == ".parquet" and _is_parquet(path)
        return {UNDIVIDED: Source(path, partial(_read, [path]))} if is_one else {}
    by_split: dict[str, list[Path]] = defaultdict(list)
    for folder in folders_below(path) if path.is_dir() else ():
        for file in filter(_is_parquet, files_of(folder, ".parquet")):
            by_split[split_of(file, path)].append(file)
    return {
        split: Source(shards[0], partial(_read, shards))
        for split, shards in as_undivided(by_split).items()
    }


def _is_parquet(file: Path) -> bool:
    return beginning(file, 4) == "PAR1"


def _read(shards: Sequence[Path], images: Path | None) -> DetectionDataset:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"{shards[0]}: is a Parquet file, which pyarrow reads: pip install 'detzoo[parquet]'"
        )
    folders = sorted({shard.parent for shard in shards})
    if len(folders) > 1:
        listed = ", ".join(map(str, folders[:4]))
        raise DataError(
            f"{shards[0]}: is one of the Parquet files of the same split in {len(folders)} folders "
            f"({listed}). Give the path of one of the folders."
        )
    files = [_opened(shard) for shard in shards]
    rows = [row for file, shard in zip(files, shards) for row in _annotations(file, shard)]
    folder = _unpacked(shards, files, rows) if images is None else images
    lines = read_each(_line, rows, _file_names(rows))
    label_names = _label_names(files[0]) or card_names(shards[0])
    names, notes = numbered_classes([found for _, found in lines], label_names)
    if images is None:
        notes = [f"the images are unpacked in {folder}", *notes]
    return build_dataset(
        [
            ImageRecord(
                record.file_name, objects_of(found, names, record.where), record.where, record.size
            )
            for record, found in lines
        ],
        source=shards[0] if len(shards) == 1 else f"{shards[0]} and {len(shards) - 1} more",
        image_dir=folder,
        class_names=names,
        notes=notes,
    )


def _opened(file: Path) -> ParquetFile:
    """Raises :class:`DataError` for what is no table of images and objects."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: cannot be read as Parquet ({error}).") from None
    schema = table.schema_arrow
    is_image = "image" in schema.names and pa.types.is_struct(schema.field("image").type)
    parts = {field.name for field in schema.field("image").type} if is_image else set()
    if "objects" not in schema.names or "bytes" not in parts:
        raise DataError(
            f"{file}: has the columns {', '.join(schema.names[:10])}. Detection sets have image, "
            "with the bytes of the images, and objects, with bbox and category."
        )
    return table


def _rows(table: ParquetFile, columns: Sequence[str], file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    there = [name for name in columns if name.partition(".")[0] in table.schema_arrow.names]
    try:
        for batch in table.iter_batches(_ROWS, columns=there):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as Parquet ({error}).") from None


def _annotations(table: ParquetFile, file: Path) -> list[tuple[dict[str, Any], str]]:
    """All rows without the bytes of their images, each with where it is."""
    rows = _rows(table, ("image.path", "width", "height", "objects"), file)
    return [(row, f"{file}: row {k}") for k, row in enumerate(rows, 1)]


def _line(row: tuple[dict[str, Any], str], name: str) -> tuple[ImageRecord, list[Labeled]]:
    content, where = row
    size = size_of(content.get("height"), content.get("width"))
    objects = content.get("objects")
    if isinstance(objects, list):  # a struct per object, instead of a struct of lists
        keys = {key for item in objects if isinstance(item, dict) for key in item}
        objects = {key: [item.get(key) for item in objects if item] for key in keys}
        objects = objects or {"bbox": [], "category": []}
    return ImageRecord(name, (), where, size), labeled_boxes(objects, where)


def _file_names(rows: Sequence[tuple[dict[str, Any], str]]) -> list[str]:
    """The names that images had, where they tell them apart; otherwise their numbers.

    Scenes are told by such names (``scenes.py``).
    """
    paths = [(row.get("image") or {}).get("path") for row, _ in rows]
    names = [os.path.basename(path.replace("\\", "/")) if path else "" for path in paths]
    if len(set(names)) == len(names) and all(n.isprintable() and is_image_name(n) for n in names):
        return names
    return [f"{k:08}{os.path.splitext(name)[1] or '.jpg'}" for k, name in enumerate(names)]


def _label_names(table: ParquetFile) -> list[str]:
    """The names of the ``ClassLabel`` of objects, among the features that the metadata tell."""
    try:
        content = json.loads((table.schema_arrow.metadata or {}).get(b"huggingface", b"null"))
    except (ValueError, RecursionError):
        return []
    for key in ("info", "features", "objects"):
        content = content.get(key) if isinstance(content, dict) else None
    found = [content]
    for item in found:
        if isinstance(item, dict):
            names = item.get("names")
            if item.get("_type") == "ClassLabel" and isinstance(names, list):
                return [str(name) for name in names]
        if isinstance(item, (dict, list)):
            found += item.values() if isinstance(item, dict) else item
    return []


# ------------------------------------------------------------------------------------- images


def _cache() -> Path:
    named = os.environ.get(CACHE)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(home) / "detzoo" / "data"


def _unpacked(
    shards: Sequence[Path], files: Sequence[ParquetFile], rows: Sequence[tuple[dict[str, Any], str]]
) -> Path:
    """The folder in the cache that holds the images, which are written where they are not there.

    It is called by the paths, sizes and times of the files, so that files that change are unpacked
    anew, and gets its name when it is complete.
    """
    stats = [
        (os.fspath(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in shards
    ]
    digest = hashlib.blake2b(repr(stats).encode(), digest_size=8).hexdigest()
    folder = _cache() / f"{shards[0].stem}-{digest}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".lock.{folder.name}")):
            if not folder.is_dir():
                _unpack(shards, files, _file_names(rows), folder)
    except OSError as error:
        raise DataError(
            f"{folder}: the images of {shards[0]} cannot be unpacked there ({error.strerror}). "
            f"Give another folder: {CACHE}=FOLDER"
        ) from None
    return folder


def _unpack(
    shards: Sequence[Path], files: Sequence[ParquetFile], names: Sequence[str], folder: Path
) -> None:
    partial_folder = Path(mkdtemp(prefix=".unpacking.", dir=folder.parent))
    try:
        rows = (row for table, file in zip(files, shards) for row in _rows(table, ("image",), file))
        for name, row in zip(names, rows):
            data = (row.get("image") or {}).get("bytes")
            if data is not None:  # a missing image is told with the others
                (partial_folder / name).write_bytes(data)
        partial_folder.chmod(0o755)
        partial_folder.rename(folder)
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


FORMAT = Format(
    name="Parquet",
    layout="`data/{split}-*.parquet` of the Hugging Face Hub, whose rows have an `image` and "
    "`objects` (`bbox` and `category`); the file or `README.md` names the classes. Needs "
    "`pip install 'detzoo[parquet]'`; images are unpacked into the cache once",
    flags="the format has none",
    given="`DIR` or `FILE.parquet`",
    find=_find,
)
