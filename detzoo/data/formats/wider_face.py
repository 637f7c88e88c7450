"""Reads WIDER FACE (http://shuoyang1213.me/WIDERFACE) with annotations in Pascal VOC's XML."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from detzoo.data.annotations import Annotations, Strings
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, Format, Source
from detzoo.data.formats.voc import annotations_of, image_names, parse_image
from detzoo.data.images import image_size
from detzoo.errors import DataError

CLASS = "face"


def read_wider_face(
    listing: str | os.PathLike[str],
    root: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    *,
    drop_others: bool = False,
    allow_absent: bool = False,
) -> DetectionDataset:
    """Reads the images in ``listing`` (``val.txt``), annotated in ``root/Annotations/*.xml``.

    ``root`` is ``WIDER_train`` or ``WIDER_val``, with images in a folder per event in it or in
    ``root/images``. Coordinates are those of :func:`read_voc`. These annotations do not include the
    official easy, medium and hard subsets, so there is one set of faces, which MMDetection
    evaluates by VOC's AP at an IoU of 0.5. Raises :class:`DataError`.
    """
    listing, folder = Path(listing), Path(root)
    # The lists of the data set have the event as well: 0--Parade/0_Parade_marchingband_1_20.
    names = [Path(name).name.removesuffix(".jpg") for name in image_names(listing)]
    parsed = []
    for name in names:
        file = folder / "Annotations" / f"{name}.xml"
        image = parse_image(file)
        if image.folder is None:
            raise DataError(f"{file}: names no folder, which is the event of the image.")
        other = next((item.name for item in image.objects if item.name != CLASS), None)
        if other is not None:
            raise DataError(f"{file}: holds a {other!r}; WIDER FACE has nothing but {CLASS!r}.")
        parsed.append(image)
    files = [f"{image.folder}/{name}.jpg" for image, name in zip(parsed, names)]
    image_dir = folder / "images" if (folder / "images").is_dir() else folder
    sizes = [image.size or image_size(image_dir / file) for image, file in zip(parsed, files)]
    dataset = DetectionDataset(
        source=str(listing),
        image_dir=str(image_dir),
        class_names=(CLASS,),
        category_ids=(1,),
        image_ids=Strings.of(names),
        file_names=Strings.of(files),
        sizes=torch.tensor(sizes, dtype=torch.int64),
        annotations=Annotations.build(len(names), annotations_of(parsed, {CLASS: 0})),
    )
    if class_names is None:
        return dataset
    return dataset.select_classes(class_names, drop_others=drop_others, allow_absent=allow_absent)


def _read(listing: Path, root: Path, images: Path | None) -> DetectionDataset:
    dataset = read_wider_face(listing, root)
    return dataset if images is None else replace(dataset, image_dir=str(images))


def _find(path: Path) -> dict[str, Source]:
    found = {}
    for split in SPLITS:
        root = path if path.name == f"WIDER_{split}" else path / f"WIDER_{split}"
        lists = [root.parent / f"{split}.txt", root / f"{split}.txt"]
        listing = next((file for file in lists if file.is_file()), None)
        if listing is not None and (root / "Annotations").is_dir():
            found[split] = Source(listing, partial(_read, listing, root))
    return found


FORMAT = Format(
    name="WIDER FACE",
    layout=(
        "WIDER_{split}/Annotations/*.xml, {split}.txt next to or in WIDER_{split}, images by event"
    ),
    flags="difficult is ignored",
    find=_find,
)
