"""Opens data sets by the layout of their folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from detzoo.data.cityscapes import read_cityscapes
from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.images import EXTENSIONS
from detzoo.data.union import union
from detzoo.data.voc import is_challenge, read_voc
from detzoo.data.wider_face import read_wider_face
from detzoo.errors import DataError

PathLike = str | os.PathLike[str]
SPLITS = ("train", "val", "test")

# Common names of the splits.
_ALIASES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_YEARS = ("", "2017", "2014")
_LAYOUTS = """\
  COCO:      annotations/instances_{split}2017.json (or instances_{split}.json, {split}.json)
             with the images in {split}2017/, {split}/, images/{split}/ or images/
  COCO:      {split}/_annotations.coco.json with the images next to it (Roboflow)
  LVIS:      annotations/lvis_v1_{split}.json (or lvis_v0.5_...) with COCO's train2017/, val2017/
  Pascal VOC: Annotations/*.xml, ImageSets/Main/{split}.txt and JPEGImages/, in the folder itself,
             one level down, or in VOCdevkit/VOC2012; several years make one data set
  Cityscapes: gtFine/{split}/<city>/*_instanceIds.png (or annotations/instancesonly_filtered_gtFine_
             {split}.json) and leftImg8bit/{split}/<city>/
  WIDER FACE: WIDER_{split}/Annotations/*.xml, {split}.txt next to or in it, images by event"""


@dataclass(frozen=True)
class _Source:
    """The location of one split: an annotation file, a list or a root, and the image folder."""

    kind: Literal["coco", "voc", "cityscapes", "wider_face"]
    annotations: Path
    images: Path
    split: str


def open_dataset(
    path: PathLike | Sequence[PathLike],
    split: str = "train",
    annotations: PathLike | None = None,
    images: PathLike | None = None,
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
    check_files: bool = True,
) -> DetectionDataset:
    """Opens the ``split`` of the data set at ``path`` and checks that all image files exist.

    ``path`` is a folder with a known layout, or a COCO JSON file; several are joined by class name
    (see :func:`~detzoo.data.union.union`). ``annotations`` (a COCO file) and
    ``images`` (a folder), absolute or relative to ``path``, override what the layout says.
    ``class_names``, ``drop_others`` and ``allow_absent`` are those of
    :meth:`DetectionDataset.select_classes`. ``check_files=False`` leaves missing images and wrong
    sizes to ``detzoo data check``. Raises :class:`DataError`, which tells what was looked for.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    sources = [source for one in paths for source in _locate(Path(one), split, annotations, images)]
    dataset = union([_read(source) for source in sources])
    if class_names is not None:
        dataset = dataset.select_classes(
            class_names, drop_others=drop_others, allow_absent=allow_absent
        )
    if check_files:
        dataset.check_files()
    return dataset


def _read(source: _Source) -> DetectionDataset:
    if source.kind == "voc":
        return read_voc(source.annotations, source.split)
    if source.kind == "cityscapes":
        return read_cityscapes(source.annotations, source.split)
    if source.kind == "wider_face":
        return read_wider_face(source.annotations, source.images)
    return read_coco(source.annotations, source.images)


def available_splits(path: PathLike) -> tuple[str, ...]:
    """The splits among "train", "val" and "test" that the folder at ``path`` has."""
    return tuple(split for split in SPLITS if _find(Path(path), split))


def _locate(
    path: Path, split: str, annotations: PathLike | None, images: PathLike | None
) -> list[_Source]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    if path.is_file():
        annotations, path = path.resolve() if annotations is None else annotations, path.parent
    if annotations is not None:
        file = path / annotations
        folder = path / images if images is not None else _images_of(file)
        return [_Source("coco", file, _existing_folder(folder, file), split)]
    found = _find(path, split)
    if not found:
        raise DataError(
            f"{path}: has no {split!r} split in a known layout. Looked for\n"
            f"{_LAYOUTS.replace('{split}', split)}\n{_what_there_is(path)}"
            "Arrange the files like this, or name the annotation file and the image folder."
        )
    if len(found) > 1 and not all(is_challenge(source.annotations) for source in found):
        listed = ", ".join(str(source.annotations) for source in found)
        raise DataError(f"{path}: has several data sets ({listed}). Give the path of one of them.")
    if images is not None:
        found = [replace(source, images=path / images) for source in found]
    for source in found:
        if source.kind == "coco":
            _existing_folder(source.images, source.annotations)
    return found


def _find(path: Path, split: str) -> list[_Source]:
    """The sources of a split: none, one, or several (years of VOC, or ambiguous)."""
    for name in _ALIASES.get(split, (split,)):
        for find in (_find_coco, _find_lvis, _find_cityscapes, _find_wider_face):
            source = find(path, name)
            if source is not None:
                return [source]
    roots = [path] if _is_voc(path) else _voc_below(path)
    return [
        _Source("voc", root, root / "JPEGImages", name)
        for root in roots
        for name in _ALIASES.get(split, (split,))[:2]
        if (root / "ImageSets" / "Main" / f"{name}.txt").is_file()
    ]


def _find_coco(path: Path, name: str) -> _Source | None:
    roboflow = path / name / "_annotations.coco.json"
    if roboflow.is_file():
        return _Source("coco", roboflow, roboflow.parent, name)
    for folder in (path / "annotations", path):
        for year in _YEARS:
            for stem in (f"instances_{name}{year}", f"{name}{year}"):
                file = folder / f"{stem}.json"
                if file.is_file():
                    return _Source("coco", file, _images_of(file), name)
    return None


def _find_lvis(path: Path, name: str) -> _Source | None:
    for folder in (path / "annotations", path):
        exact = [folder / f"lvis_{version}_{name}.json" for version in ("v1", "v0.5")]
        parts = sorted(folder.glob(f"lvis_v*_{name}_*.json"))
        file = next((file for file in exact if file.is_file()), parts[0] if parts else None)
        if file is not None:
            return _Source("coco", file, path, name)
    return None


def _find_cityscapes(path: Path, name: str) -> _Source | None:
    images = path / "leftImg8bit" / name
    file = path / "annotations" / f"instancesonly_filtered_gtFine_{name}.json"
    if file.is_file():
        return _Source("coco", file, images, name)
    if any((path / "gtFine" / name).glob("*/*_instanceIds.png")):
        return _Source("cityscapes", path, images, name)
    return None


def _find_wider_face(path: Path, name: str) -> _Source | None:
    root = path if path.name == f"WIDER_{name}" else path / f"WIDER_{name}"
    for listing in (root.parent / f"{name}.txt", root / f"{name}.txt"):
        if listing.is_file() and (root / "Annotations").is_dir():
            return _Source("wider_face", listing, root, name)
    return None


def _images_of(file: Path) -> Path:
    """The image folder of a COCO file, by the name and location of the file."""
    stem = file.stem.removeprefix("instances_")
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    if stem.startswith("lvis_v"):
        return root  # its images lie in several folders of COCO's
    candidates = (
        root / stem,
        root / "images" / stem,
        root / stem.rstrip("0123456789"),
        root / "images",
        file.parent,
        root,
    )
    return next((folder for folder in candidates if _holds_images(folder)), root / stem)


def _holds_images(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(EXTENSIONS) for entry in entries)


def _existing_folder(folder: Path, annotations: Path) -> Path:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; it should hold the images of {annotations}. "
            "Name the folder that does."
        )
    return folder


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


def _what_there_is(path: Path) -> str:
    splits = available_splits(path)
    if splits:
        return f"It has: {', '.join(splits)}.\n"
    names = sorted(entry.name for entry in os.scandir(path))
    return f"The folder holds: {', '.join(names[:12]) or 'nothing'}.\n"
