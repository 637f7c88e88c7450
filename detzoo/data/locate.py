"""Opens data sets, whatever their format."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, UNDIVIDED, Source
from detzoo.data.formats.table import FORMATS
from detzoo.data.reading import ignoring_exif
from detzoo.data.union import union
from detzoo.data.unrecognized import check_is_no_pointer, why_unrecognized
from detzoo.files import check_regular, why_absent

PathLike = str | os.PathLike[str]


def open_dataset(
    path: PathLike | Sequence[PathLike],
    split: str = "train",
    annotations: PathLike | None = None,
    images: PathLike | None = None,
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
    check: bool = True,
    ignore_exif: bool = False,
) -> DetectionDataset:
    """Opens the ``split`` of the data set at ``path`` and checks that all image files exist.

    ``path`` is a folder or file in one of the formats of ``docs/data.md``; several are joined by
    class name (see :func:`~detzoo.data.union.union`). Data that are not divided into splits open as
    "train". ``annotations`` (a file) and ``images`` (a folder), absolute or relative to ``path``,
    override what the format says. ``class_names``, ``drop_others`` and ``allow_absent`` are those
    of :meth:`DetectionDataset.select_classes`. ``check=False`` leaves out the check of the images;
    ``ignore_exif`` takes them as they lie in the file. Raises :class:`DataError`, which tells what
    was looked for.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    with ignoring_exif(ignore_exif):
        dataset = union([_open(Path(one), split, annotations, images) for one in paths])
    dataset = replace(dataset, ignore_exif=ignore_exif)
    if class_names is not None:
        dataset = dataset.select_classes(
            class_names, drop_others=drop_others, allow_absent=allow_absent
        )
    if check:
        dataset.check_files()
    return dataset


def _open(
    place: Path, split: str, annotations: PathLike | None, images: PathLike | None
) -> DetectionDataset:
    if annotations is not None:
        folder = place if place.is_dir() else place.parent
        place, images = folder / annotations, None if images is None else folder / images
    elif images is not None:
        images = (place if place.is_dir() else place.parent) / images
    source = _locate(place, split)
    check_is_no_pointer(source.path)
    with _no_garbage_collection():
        return source.read(None if images is None else Path(images))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Python searches millions of new objects for garbage again and again: a quarter of the time.

    With several threads, the collector works again once the first of them has finished.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def available_splits(path: PathLike) -> tuple[str, ...]:
    """The splits among "train", "val" and "test" that the data set at ``path`` has.

    An annotation file that is not divided has none: it opens as any of them.
    """
    place = Path(path)
    found = next(filter(None, (item.find(place) for item in FORMATS)), {})
    if place.is_file() and found.keys() == {UNDIVIDED}:
        return ()
    return tuple(split for split in SPLITS if _choose(found, split) is not None)


def _locate(path: Path, split: str) -> Source:
    """The ``split`` in the first format that has it."""
    if not path.exists():
        raise why_absent(path)
    check_regular(path)
    found: dict[str, Source] = {}
    for item in FORMATS:
        # What one format divides into splits may look undivided to another.
        others = {
            name: source
            for name, source in item.find(path).items()
            if not (found and name == UNDIVIDED)
        }
        found = {**others, **found}
        source = _choose(found, split)
        if source is not None:
            return source
    if path.is_file() and UNDIVIDED in found:
        return found[UNDIVIDED]  # who gives a file of annotations means that file
    raise why_unrecognized(path, split, found, FORMATS)


def _choose(found: Mapping[str, Source], split: str) -> Source | None:
    names = [split]
    if split == "train":
        # What is not divided is there to train on. The list of VOC that is both train and val is,
        # too, unless there is a val, which would be part of it.
        names += [UNDIVIDED] if "val" in found else [UNDIVIDED, "trainval"]
    return next((found[name] for name in names if name in found), None)
