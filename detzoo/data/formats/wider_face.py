"""Reads WIDER FACE (http://shuoyang1213.me/WIDERFACE) with annotations in Pascal VOC's XML."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, Format, ImageRecord, Source
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.voc import image_names
from detzoo.data.formats.voc_xml import parse_image
from detzoo.errors import DataError

CLASS = "face"


def _read(listing: Path, root: Path, images: Path | None) -> DetectionDataset:
    """Reads the images in ``listing`` (``val.txt``), annotated in ``root/Annotations/*.xml``.

    ``root`` is ``WIDER_train`` or ``WIDER_val``, with images in a folder per event in it or in
    ``root/images``. These annotations do not include the official easy, medium and hard subsets, so
    there is one set of faces, which MMDetection evaluates by VOC's AP at an IoU of 0.5.
    """
    # The lists of the data set have the event as well: 0--Parade/0_Parade_marchingband_1_20.
    names = [Path(name).name.removesuffix(".jpg") for name in image_names(listing)]
    records = []
    for name in names:
        file = root / "Annotations" / f"{name}.xml"
        image = parse_image(file)
        if image.folder is None:
            raise DataError(f"{file}: names no folder, which is the event of the image.")
        other = next((item for item in image.objects if item.class_name != CLASS), None)
        if other is not None:
            raise DataError(
                f"{file}: holds a {other.class_name!r}; WIDER FACE has nothing but {CLASS!r}."
            )
        records.append(
            ImageRecord(f"{image.folder}/{name}.jpg", image.objects, str(file), image.size)
        )
    inner = root / "images"
    return build_dataset(
        records,
        source=listing,
        image_dir=images or (inner if inner.is_dir() else root),
        class_names=(CLASS,),
    )


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
        "`WIDER_{split}/Annotations/*.xml`, `{split}.txt` next to or in `WIDER_{split}`, images by "
        "event"
    ),
    flags="difficult objects are ignored",
    find=_find,
)
