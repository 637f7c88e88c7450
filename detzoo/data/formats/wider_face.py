"""Reads WIDER FACE (http://shuoyang1213.me/WIDERFACE), as published or in Pascal VOC's XML.

The published ``wider_face_train_bbx_gt.txt`` has for each image its name, the number of faces, and
a line for each: left, top, width, height, blur, expression, illumination, invalid, occlusion, pose
(readme.txt of the annotations). An image without faces has one line of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import SPLITS, Format, ImageRecord, ObjectRecord, Source
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.sniff import read_text
from detzoo.data.formats.voc import image_names
from detzoo.data.formats.voc_xml import parse_image
from detzoo.data.reading import read_each
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
    records = read_each(lambda name: _image(root / "Annotations" / f"{name}.xml"), names)
    inner = root / "images"
    return build_dataset(
        records,
        source=listing,
        image_dir=images or (inner if inner.is_dir() else root),
        class_names=(CLASS,),
    )


def _image(file: Path) -> ImageRecord:
    """That of an XML file, whose folder is the event."""
    image = parse_image(file)
    if image.folder is None:
        raise DataError(f"{file}: names no folder, which is the event of the image.")
    other = next((item for item in image.objects if item.class_name != CLASS), None)
    if other is not None:
        raise DataError(
            f"{file}: holds a {other.class_name!r}; WIDER FACE has nothing but {CLASS!r}."
        )
    return ImageRecord(f"{image.folder}/{file.stem}.jpg", image.objects, str(file), image.size)


def _read_published(file: Path, root: Path, images: Path | None) -> DetectionDataset:
    return build_dataset(
        _published_images(file),
        source=file,
        image_dir=images or root / "images",
        class_names=(CLASS,),
    )


def _published_images(file: Path) -> Iterator[ImageRecord]:
    lines = [line.strip() for line in read_text(file).splitlines()]
    k = 0
    while k < len(lines):
        name, where = lines[k], f"{file}: line {k + 1}"
        count = lines[k + 1] if k + 1 < len(lines) else ""
        if not name or not count.isdecimal():
            raise DataError(f"{where}: is not the name of an image before the number of its faces.")
        faces = lines[k + 2 : k + 2 + max(int(count), 1)]
        if len(faces) < int(count):
            raise DataError(f"{where}: has {len(faces)} of {count} faces. Is the file cut off?")
        read = partial(_published_face, where=where)
        yield ImageRecord(name, read_each(read, faces[: int(count)]), where)
        k += 2 + len(faces)


def _published_face(line: str, where: str) -> ObjectRecord:
    words = line.split()
    if len(words) != 10 or not all(word.lstrip("-").isdecimal() for word in words):
        raise DataError(f"{where}: the face {line!r:.60} is not ten whole numbers.")
    x, y, width, height, _, _, _, invalid, _, _ = map(int, words)
    return ObjectRecord(CLASS, (x, y, width, height), ignored="invalid" if invalid else "")


def _find(path: Path) -> dict[str, Source]:
    found = {}
    for split in SPLITS:
        published = path / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        if published.is_file():
            around = path / f"WIDER_{split}"
            found[split] = Source(published, partial(_read_published, published, around))
            continue
        root = path if path.name == f"WIDER_{split}" else path / f"WIDER_{split}"
        lists = [root.parent / f"{split}.txt", root / f"{split}.txt"]
        listing = next((file for file in lists if file.is_file()), None)
        if listing is not None and (root / "Annotations").is_dir():
            found[split] = Source(listing, partial(_read, listing, root))
    return found


FORMAT = Format(
    name="WIDER FACE",
    layout=(
        "`wider_face_split/wider_face_{split}_bbx_gt.txt` and `WIDER_{split}/images/`; or "
        "`WIDER_{split}/Annotations/*.xml`, `{split}.txt` next to or in `WIDER_{split}`, images by "
        "event"
    ),
    flags="invalid and difficult faces are ignored; small and occluded ones count",
    find=_find,
)
