"""Makes a data set of the records that a reader yields."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from detzoo.data.annotations import Annotation, Annotations, Strings
from detzoo.data.dataset import DetectionDataset, check_class_names
from detzoo.data.formats.base import ImageRecord, ObjectRecord, counted
from detzoo.data.images import image_size
from detzoo.errors import DataError
from detzoo.structures.segmentation import Segmentation, read_segmentation
from detzoo.values import FARTHEST, MOST_PIXELS, Size


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
    images = list(records)
    if not images:
        raise DataError(f"{source}: lists no images.")
    files = [image.file_name for image in images]
    _check_distinct(files, source)
    if class_names is None:
        named = {item.class_name for image in images for item in image.objects}
        class_names = sorted(name for name in named if name is not None)
    check_class_names(class_names, str(source))
    sizes = _sizes(images, Path(image_dir), source)
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


def _check_distinct(files: list[str], source: str | Path) -> None:
    seen = set()
    for file in files:
        if file in seen:
            raise DataError(f"{source}: lists the image {file!r} twice. Remove one of the entries.")
        seen.add(file)


def _ids(files: list[str]) -> list[str]:
    """What images are called: their names, with as much of the path as tells them apart."""
    stems = [os.path.splitext(file)[0] for file in files]
    names = [os.path.basename(stem) for stem in stems]
    return next((ids for ids in (names, stems) if len(set(ids)) == len(ids)), files)


def _sizes(images: list[ImageRecord], folder: Path, source: str | Path) -> list[Size]:
    unknown = [image.file_name for image in images if image.size is None]
    absent = [name for name in unknown if not os.path.isfile(folder / name)]
    if absent:
        raise DataError(
            f"{source}: {len(absent)} of its {len(images)} images are not in the folder {folder}, "
            f"the first is {absent[0]!r}. Give the folder that has them."
        )
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        read = threads.map(image_size, [folder / name for name in unknown])
        return [next(read) if image.size is None else _checked(image) for image in images]


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
            where = f"{image.where}: object {k + 1}"
            if item.class_name is not None and item.class_name not in label_of:
                raise DataError(
                    f"{where}: its class {item.class_name!r} is not among the classes "
                    f"({', '.join(class_names[:10])}{', ...' if len(class_names) > 10 else ''})."
                )
            scale = (size[1], size[0]) if image.in_fractions else (1, 1)
            mask = _mask(item, size, scale, where)
            box = _box(item, mask, scale, where)
            area = box[2] * box[3] if mask.is_missing else mask.area(size)
            everywhere = range(len(class_names))
            for label in everywhere if item.class_name is None else [label_of[item.class_name]]:
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
    return [
        *(f"{counted(n, 'object')} ignored: {reason}" for reason, n in ignored.items()),
        *(f"{counted(n, 'object')} left out: {reason}" for reason, n in left_out.items()),
    ]
