"""Finds files that hold all annotations of a split, and the folders that may hold its images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, UNDIVIDED, Source, split_name
from detzoo.data.formats.image_files import ImageFiles, folders_below, locate_images
from detzoo.data.formats.sniff import files_of
from detzoo.errors import DataError

ANNOTATION_FOLDERS = (
    *("annotations", "annotation", "annots", "anns", "anno", "ann"),
    *("labels", "json"),
)
_IMAGE_FOLDERS = ("images", "data", "imgs", "img", "JPEGImages")
# What is read of a folder to find files by their content: it may hold one per image.
_MOST_SNIFFED = 50

Read = Callable[[Path, Path | None], DetectionDataset]


def find_files(
    path: Path, suffix: str, is_ours: Callable[[Path], bool], read: Read
) -> dict[str, Source]:
    """The splits of a format that has one file for each, called ``*{suffix}``.

    Their names or folders tell which is which; a single file without such a name is all there is.
    ``read`` is called with the file and the image folder that the user named, or None.
    """
    if path.is_file():
        is_one = path.name.lower().endswith(suffix) and is_ours(path)
        return {UNDIVIDED: Source(path, partial(read, path))} if is_one else {}
    files = [file for folder in folders_below(path) for file in files_of(folder, suffix)]
    by_split: dict[str, list[Path]] = defaultdict(list)
    for file in filter(is_ours, files[:_MOST_SNIFFED]):
        by_split[split_of(file, path)].append(file)
    return {
        split: Source(choice[0], partial(read_only_one, choice, read))
        for split, choice in as_undivided(by_split).items()
    }


def as_undivided(by_split: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Files of one name that is that of no split are all there is."""
    if len(by_split) == 1 and not by_split.keys() & set(SPLITS):
        return {UNDIVIDED: next(iter(by_split.values()))}
    return by_split


def read_only_one(files: list[Path], read: Read, images: Path | None) -> DetectionDataset:
    """Reads the file; of several nobody can tell which is meant."""
    if len(files) > 1:
        listed = ", ".join(map(str, files[:4])) + (", ..." if len(files) > 4 else "")
        raise DataError(
            f"{files[0].parent}: one of {len(files)} files of annotations for the same split "
            f"({listed}). Give the path of the one that you mean, or of its folder."
        )
    return read(files[0], images)


def split_of(file: Path, root: Path) -> str:
    """What the name of a file says, or that of a folder between it and the root."""
    split = split_name(file.stem)
    if split is None:
        split = _split_below(file.parent, root)
    return file.stem.removeprefix("instances_") if split is None else split


def data_root(file: Path) -> Path:
    """The folder of the data set that a file of annotations belongs to."""
    folder = file.parent
    while folder.name.lower() in ANNOTATION_FOLDERS or split_name(folder.name) in SPLITS:
        folder = folder.parent
    return folder


def _split_below(folder: Path, root: Path) -> str | None:
    """The split that the names of the folders from ``root`` to ``folder`` tell."""
    names = (split_name(name) for name in folder.relative_to(root).parts[::-1])
    return next((name for name in names if name is not None), None)


def image_folders(file: Path) -> list[Path]:
    """Where the images of a file may be, the likeliest first; not in those of other splits."""
    parent = file.parent
    root = parent.parent if parent.name.lower() in ANNOTATION_FOLDERS else parent
    stem = file.stem.removeprefix("instances_")
    split = split_of(file, root)

    def likelihood(folder: Path) -> int:
        name, own = folder.name, _split_below(folder, root)
        signs = (
            name == stem,
            name == stem.rstrip("0123456789"),
            own == split,
            name in _IMAGE_FOLDERS,
            folder == parent,
            folder == root,
            own is None or split not in SPLITS,
        )
        return signs.index(True) if True in signs else len(signs)

    likely = [root / stem, root / "images" / stem, *folders_below(root)]
    return sorted((folder for folder in likely if likelihood(folder) < 7), key=likelihood)


def images_of(file: Path, names: list[str], images: Path | None) -> ImageFiles:
    """The images called ``names`` in ``file``, in ``images`` or where they are found.

    Raises :class:`DataError` if none of the first is anywhere.
    """
    if not names:
        raise DataError(f"{file}: lists no images.")
    folders = image_folders(file) if images is None else [images]
    located = locate_images(names, folders)
    if located is None:
        tried = ", ".join(str(folder) for folder in folders[:4] if folder.is_dir())
        raise DataError(
            f"{file}: its image {names[0]!r} is in none of the folders that were tried ({tried}). "
            "Give the folder that has it (--images)."
        )
    return located
