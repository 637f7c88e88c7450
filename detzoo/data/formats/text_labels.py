"""Reads folders of text files, one per image: what VisDrone, KITTI and DOTA have in common."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import split_of
from detzoo.data.formats.base import (
    SPLITS,
    UNDIVIDED,
    ImageRecord,
    ObjectRecord,
    Source,
    counted,
    split_name,
)
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import folders_below, images_below
from detzoo.data.formats.sniff import files_of, read_text
from detzoo.data.reading import entry, read_each, reads_on
from detzoo.errors import DataError

# A line of a file, and where it is, as an object, or as the reason why it is left out.
ReadLine = Callable[[str, str], ObjectRecord | str]


def find_labels(
    path: Path,
    label_folders: Sequence[str],
    image_folders: Sequence[str],
    is_ours: Callable[[Path], bool],
    read_line: ReadLine,
    *,
    class_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Source]:
    """The splits of a format that keeps labels in folders called ``label_folders``.

    The images are in one of ``image_folders``, which is beside it or beside the folder around it.
    Names of folders tell the splits.
    """
    if not path.is_dir():
        return {}
    by_split: dict[str, list[Path]] = defaultdict(list)
    for folder in folders_below(path, depth=3):
        if folder.name in label_folders and any(map(is_ours, files_of(folder, ".txt")[:5])):
            split = split_of(folder / "x", path)
            by_split[split if split in SPLITS else _own_name(folder, path)].append(folder)
    read = partial(
        _read,
        image_folders=image_folders,
        read_line=read_line,
        class_names=class_names,
        notes=notes,
    )
    return {
        split: Source(folders[0], partial(read, folders)) for split, folders in by_split.items()
    }


def _own_name(folder: Path, path: Path) -> str:
    """The folder of the data set itself may be called by a split: ``VisDrone2019-DET-val``."""
    split = split_name(re.split("[-_]", path.resolve().name)[-1])
    return split if split in SPLITS and folder.parent == path else UNDIVIDED


def _read(
    folders: Sequence[Path],
    images: Path | None,
    *,
    image_folders: Sequence[str],
    read_line: ReadLine,
    class_names: Sequence[str] | None,
    notes: Sequence[str],
) -> DetectionDataset:
    labels = folders[0]
    if len(folders) > 1:
        raise DataError(
            f"{labels}: is one of {len(folders)} folders of labels for the same images "
            f"({', '.join(map(str, folders[:4]))}). Give the path of the folder around one of them."
        )
    folder = _image_folder(labels, image_folders) if images is None else images
    by_stem = {Path(name).stem: name for name in images_below(folder)}
    files = files_of(labels, ".txt")
    absent = [file for file in files if file.stem not in by_stem]
    for file in absent:
        such = "" if reads_on() else f" ({len(absent)} of {len(files)} such files)"
        with entry("image-missing"):
            raise DataError(
                f"{file}: its image is not in {folder}{such}. Name the folder that has the images."
            )
    files = [file for file in files if file.stem in by_stem]
    unlabeled = len(by_stem) - len(files)
    if unlabeled:
        notes = (*notes, f"{counted(unlabeled, 'image')} without a file of labels left out")
    return build_dataset(
        read_each(lambda file: _image(file, by_stem[file.stem], read_line), files),
        source=labels,
        image_dir=folder,
        class_names=class_names,
        notes=notes,
    )


def _image_folder(labels: Path, names: Sequence[str]) -> Path:
    places = [around / name for around in (labels.parent, labels.parent.parent) for name in names]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise DataError(
            f"{labels}: there is no folder of images beside it ({', '.join(names)}). Name the "
            "folder that has them."
        )
    return folder


def _image(file: Path, name: str, read_line: ReadLine) -> ImageRecord:
    lines = [(k, line) for k, line in enumerate(read_text(file).splitlines(), 1) if line.strip()]
    found = read_each(lambda item: read_line(item[1], f"{file}: line {item[0]}"), lines)
    return ImageRecord(
        name,
        [item for item in found if isinstance(item, ObjectRecord)],
        str(file),
        left_out=[item for item in found if isinstance(item, str) and item],
    )


def numbers(words: Sequence[str], where: str) -> list[float]:
    """``words`` as numbers. Raises :class:`DataError`, beginning with ``where``."""
    try:
        return [float(word) for word in words]
    except ValueError:
        raise DataError(f"{where}: {' '.join(words)!r:.60} are not numbers.") from None
