"""Makes a data set of the records that a reader yields."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from detzoo.data.annotations import IGNORED_CROWDS, Annotation, Annotations, Strings
from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.base import ImageRecord, ObjectRecord, counted
from detzoo.data.images import image_size
from detzoo.data.reading import FaultKind, entry, ignores_exif, reads_on
from detzoo.errors import DataError
from detzoo.structures.segmentation import Segmentation, read_segmentation
from detzoo.values import FARTHEST, MOST_PIXELS, Size, check_class_names


def build_dataset(
    records: Iterable[ImageRecord],
    *,
    source: str | Path,
    image_dir: str | Path,
    class_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> DetectionDataset:
    """The data set of ``records``, whose images lie in ``image_dir``.

    Labels follow ``class_names``, or the sorted names of all objects. The id of an image is its
    file name without folders and extension, or with them where two would have the same. Reads the
    sizes that the records do not give. ``notes`` are continued by the number of objects that are
    ignored or were left out, by reason. Raises :class:`DataError` for numbers that cannot be right,
    unknown classes, and an image that occurs twice.
    """
    images = _distinct(records, source)
    if not images:
        what = "none of its images can be read" if reads_on() else "lists no images"
        raise DataError(f"{source}: {what}.")
    images, sizes = _sized(images, Path(image_dir), source)
    files = [image.file_name for image in images]
    if class_names is None:
        named = {item.class_name for image in images for item in image.objects}
        class_names = sorted(name for name in named if name is not None)
    if not class_names:
        raise DataError(f"{source}: none of its images has an object, so it has no classes.")
    check_class_names(class_names, str(source))
    return DetectionDataset(
        source=str(source),
        image_dir=str(image_dir),
        class_names=tuple(class_names),
        category_ids=tuple(range(1, len(class_names) + 1)),
        image_ids=Strings.of(_ids(files)),
        file_names=Strings.of(files),
        sizes=torch.tensor(sizes, dtype=torch.int64),
        annotations=Annotations.build(len(images), _annotations(images, sizes, class_names)),
        notes=(*notes, *_counted(images)),
    )


def _distinct(records: Iterable[ImageRecord], source: str | Path) -> list[ImageRecord]:
    found: dict[str, ImageRecord] = {}
    for record in records:
        with entry():
            name = record.file_name
            if name in found:
                raise DataError(
                    f"{source}: lists the image {name!r} twice. Remove one of the entries."
                )
            found[name] = record
    return list(found.values())


def _ids(files: list[str]) -> list[str]:
    """What images are called: their names, with as much of the path as tells them apart."""
    stems = [os.path.splitext(file)[0] for file in files]
    names = [os.path.basename(stem) for stem in stems]
    return next((ids for ids in (names, stems) if len(set(ids)) == len(ids)), files)


def _sized(
    images: list[ImageRecord], folder: Path, source: str | Path
) -> tuple[list[ImageRecord], list[Size]]:
    """The images whose size is known, and the sizes: as declared, or else those of the files."""
    unknown = [image.file_name for image in images if image.size is None]
    absent = [name for name in unknown if not os.path.isfile(os.path.join(folder, name))]
    if absent and not reads_on():
        raise DataError(
            f"{source}: {len(absent)} of its {len(images)} images are not in the folder {folder}, "
            f"the first is {absent[0]!r}. Give the folder that has them, or leave them out "
            "(--skip-broken)."
        )
    ignore_exif, missing = ignores_exif(), set(absent)

    def size_of(name: str) -> Size | DataError:
        try:
            if name in missing:
                raise DataError(f"{os.path.join(folder, name)}: no such image file.")
            return image_size(os.path.join(folder, name), ignore_exif=ignore_exif)
        except DataError as error:
            return error

    kept, sizes = [], []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        read = threads.map(size_of, unknown)
        for image in images:
            kind: FaultKind = "annotation-unreadable"
            if image.size is None:
                kind = "image-missing" if image.file_name in missing else "image-unreadable"
            with entry(kind):
                size = next(read) if image.size is None else _checked(image)
                if isinstance(size, DataError):
                    raise size
                kept.append(image)
                sizes.append(size)
    if not kept:
        raise DataError(f"{source}: none of its images can be read.")
    return kept, sizes


def _checked(image: ImageRecord) -> Size:
    assert image.size is not None
    height, width = image.size
    if not (0 < height <= MOST_PIXELS and 0 < width <= MOST_PIXELS):
        raise DataError(
            f"{image.where}: declares an image of {width} x {height} pixels (width x height)."
        )
    return height, width


def _annotations(
    images: list[ImageRecord], sizes: list[Size], class_names: Sequence[str]
) -> Iterator[Annotation]:
    label_of = {name: label for label, name in enumerate(class_names)}
    number = 0
    for i, (image, size) in enumerate(zip(images, sizes)):
        for k, item in enumerate(image.objects):
            labels: Iterable[int] = ()
            with entry():
                where = f"{image.where}: object {k + 1}"
                scale = (size[1], size[0]) if image.in_fractions else (1, 1)
                mask = _mask(item, size, scale, where)
                box = _box(item, mask, scale, where)
                area = box[2] * box[3] if mask.is_missing else mask.area(size)
                labels = _labels(item, label_of, where)
            for label in labels:
                number += 1
                yield Annotation(
                    image=i,
                    id=number,
                    label=label,
                    box=box,
                    area=max(area, 0.0),
                    is_crowd=item.is_crowd,
                    is_ignored=bool(item.ignored),
                    polygons=mask.polygons,
                    rle=mask.code,
                )


def _labels(item: ObjectRecord, label_of: Mapping[str, int], where: str) -> Sequence[int]:
    """That of the object's class; a region in which no class counts has all of them."""
    if item.class_name is None:
        return range(len(label_of))
    if item.class_name not in label_of:
        names = [*label_of]
        raise DataError(
            f"{where}: its class {item.class_name!r} is not among the classes "
            f"({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})."
        )
    return [label_of[item.class_name]]


def _mask(item: ObjectRecord, size: Size, scale: tuple[int, int], where: str) -> Segmentation:
    if item.rle:
        return Segmentation(code=item.rle)
    scaled = [
        [number * scale[axis % 2] for axis, number in enumerate(polygon)]
        for polygon in item.polygons
    ]
    return read_segmentation(scaled, size, where)


def _box(
    item: ObjectRecord, mask: Segmentation, scale: tuple[int, int], where: str
) -> tuple[float, float, float, float]:
    if item.box is None:
        # Of the points as they were given: two are no polygon, but they have an extent.
        xs = [x * scale[0] for polygon in item.polygons for x in polygon[0::2]]
        ys = [y * scale[1] for polygon in item.polygons for y in polygon[1::2]]
        if not xs or not ys:
            raise DataError(f"{where}: has neither a box nor points.")
        box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    else:
        x, y, width, height = item.box
        box = (x * scale[0], y * scale[1], width * scale[0], height * scale[1])
    # Neither is NaN below anything.
    if not all(abs(number) < FARTHEST for number in box):
        raise DataError(
            f"{where}: its box {box!r:.100} (x, y, width, height) is in no image: its numbers must "
            "be finite pixels."
        )
    return box


def _counted(images: list[ImageRecord]) -> list[str]:
    ignored = Counter(item.ignored for image in images for item in image.objects if item.ignored)
    left_out = Counter(reason for image in images for reason in image.left_out)
    crowds = sum(item.is_crowd for image in images for item in image.objects)
    return [
        *([f"{counted(crowds, 'object')} {IGNORED_CROWDS}: crowds"] if crowds else []),
        *(f"{counted(n, 'object')} ignored: {reason}" for reason, n in ignored.items()),
        *(f"{counted(n, 'object')} left out: {reason}" for reason, n in left_out.items()),
    ]
