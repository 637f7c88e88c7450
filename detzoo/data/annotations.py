"""All annotations and proposals of a data set in a handful of flat arrays.

Loader workers share them: a forked worker reads the same pages (there are no reference counts to
write next to the data), and a spawned one receives handles, because tensors pickle through shared
memory. So memory does not grow with the number of annotations times the number of workers.

Legend: I images, N annotations, P polygons, K polygon points.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detzoo.values import Id


class Annotation(NamedTuple):
    """One object on its way from a file into the arrays: the result of parsing and checking it.

    ``box`` is x, y, width, height in original pixels. ``polygons`` are flat x, y, x, y, ...
    lists; ``rle`` is a compressed run-length mask.
    """

    image: int
    id: Id
    label: int
    box: tuple[float, float, float, float]
    area: float
    is_crowd: bool = False
    is_ignored: bool = False
    polygons: tuple[Sequence[float], ...] = ()
    rle: bytes = b""


@dataclass(frozen=True)
class Strings:
    """A sequence of texts in two arrays: ``text`` (bytes,) UTF-8 and ``offsets`` (count + 1,).

    Surrogates stay: names of files that are not UTF-8 hold some, and what JSON escapes may.
    """

    text: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, texts: Iterable[str]) -> Strings:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        return cls(_bytes(b"".join(encoded)), _offsets([len(item) for item in encoded]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        start, end = self.offsets[index : index + 2].tolist()
        return self.text[start:end].numpy().tobytes().decode("utf-8", "surrogatepass")

    @classmethod
    def join(cls, parts: Sequence[Strings]) -> Strings:
        """One sequence after the other."""
        return cls(
            torch.cat([part.text for part in parts]), _joined([part.offsets for part in parts])
        )

    def take(self, index: Tensor) -> Strings:
        positions, offsets = take_ragged(self.offsets, index)
        return Strings(self.text[positions], offsets)


@dataclass(frozen=True)
class Numerals:
    """Integers, some beyond 64 bits."""

    text: Strings

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Numerals:
        return cls(Strings.of(map(str, numbers)))

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, index: int) -> int:
        return int(self.text[index])

    def take(self, index: Tensor) -> Numerals:
        return Numerals(self.text.take(index))


# Of images or objects: integers, unless one is text; then all are.
Ids = Tensor | Strings | Numerals


def ids_of(ids: Sequence[Id]) -> Ids:
    numbers = [identity for identity in ids if isinstance(identity, int)]
    if len(numbers) < len(ids):
        return Strings.of(map(str, ids))
    try:
        return _integers(array("q", numbers))
    except OverflowError:
        return Numerals.of(numbers)


def id_at(ids: Ids, index: int) -> Id:
    identity = ids[index]
    return int(identity) if isinstance(identity, Tensor) else identity


def take_ids(ids: Ids, index: Tensor) -> Ids:
    return ids[index] if isinstance(ids, Tensor) else ids.take(index)


@dataclass(frozen=True)
class LabelLists:
    """A list of labels per image in two arrays: ``labels`` (N,) and ``offsets`` (I + 1,)."""

    labels: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> LabelLists:
        flat = array("q", (label for labels in lists for label in labels))
        return cls(_integers(flat), _offsets([len(labels) for labels in lists]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, image: int) -> list[int]:
        start, end = self.offsets[image : image + 2].tolist()
        labels: list[int] = self.labels[start:end].tolist()
        return labels

    @classmethod
    def join(cls, parts: Sequence[LabelLists]) -> LabelLists:
        """The lists of one after those of the other."""
        return cls(
            torch.cat([part.labels for part in parts]), _joined([part.offsets for part in parts])
        )

    def take(self, images: Tensor) -> LabelLists:
        positions, offsets = take_ragged(self.offsets, images)
        return LabelLists(self.labels[positions], offsets)

    def relabeled(self, new_label: Tensor) -> LabelLists:
        """Label ``k`` becomes ``new_label[k]``, and goes where that is negative."""
        labels = new_label[self.labels]
        image = torch.repeat_interleave(torch.arange(len(self)), self.offsets.diff())
        counts = torch.bincount(image[labels >= 0], minlength=len(self))
        return LabelLists(labels[labels >= 0], _offsets(counts.tolist()))


@dataclass(frozen=True)
class Segmentations:
    """Masks of N objects: polygons, run-length codes, or neither.

    ``points`` (K, 2) x, y in original pixels; polygon p has the points ``point_offsets[p]`` to
    ``point_offsets[p + 1]``; object n has the polygons ``polygon_offsets[n]`` to
    ``polygon_offsets[n + 1]`` and the codes ``rle[rle_offsets[n] : rle_offsets[n + 1]]``.
    """

    points: Tensor
    point_offsets: Tensor
    polygon_offsets: Tensor
    rle: Tensor
    rle_offsets: Tensor

    @classmethod
    def none(cls, count: int) -> Segmentations:
        """Those of ``count`` objects without masks."""
        nothing, zero = torch.zeros(count + 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
        codes = torch.zeros(0, dtype=torch.uint8)
        return cls(torch.zeros(0, 2, dtype=torch.float64), zero, nothing, codes, nothing)

    @classmethod
    def join(cls, parts: Sequence[Segmentations]) -> Segmentations:
        """Those of one after those of the other."""
        return cls(
            points=torch.cat([part.points for part in parts]),
            point_offsets=_joined([part.point_offsets for part in parts]),
            polygon_offsets=_joined([part.polygon_offsets for part in parts]),
            rle=torch.cat([part.rle for part in parts]),
            rle_offsets=_joined([part.rle_offsets for part in parts]),
        )

    @property
    def is_there(self) -> Tensor:
        """(N,) which objects have a mask."""
        return (self.polygon_offsets.diff() > 0) | (self.rle_offsets.diff() > 0)

    def polygons(self, n: int) -> tuple[np.ndarray, ...]:
        """The polygons of object ``n``, each (k, 2), float64."""
        first, last = self.polygon_offsets[n : n + 2].tolist()
        bounds = self.point_offsets[first : last + 1].tolist()
        points = self.points.numpy()
        return tuple(points[start:end] for start, end in pairwise(bounds))

    def code(self, n: int) -> bytes:
        """The compressed run-length code of object ``n``; empty where it has none."""
        start, end = self.rle_offsets[n : n + 2].tolist()
        return self.rle[start:end].numpy().tobytes()

    def take(self, index: Tensor) -> Segmentations:
        polygons, polygon_offsets = take_ragged(self.polygon_offsets, index)
        points, point_offsets = take_ragged(self.point_offsets, polygons)
        codes, rle_offsets = take_ragged(self.rle_offsets, index)
        return Segmentations(
            self.points[points], point_offsets, polygon_offsets, self.rle[codes], rle_offsets
        )


@dataclass(frozen=True)
class Annotations:
    """The N objects of I images: those of image i are rows ``offsets[i]`` to ``offsets[i + 1]``.

    ``boxes`` (N, 4) x, y, width, height in original pixels, float64 as in the file, so that
    evaluation sees the file's own numbers. ``labels`` (N,) index the class names, ``ids`` (N,) are
    the file's, ``areas`` (N,) in square pixels. ``segmentations`` is None where no object has one.
    """

    offsets: Tensor
    boxes: Tensor
    labels: Tensor
    ids: Ids
    areas: Tensor
    is_crowd: Tensor
    is_ignored: Tensor
    segmentations: Segmentations | None

    @classmethod
    def build(cls, num_images: int, objects: Iterable[Annotation]) -> Annotations:
        """Packs ``objects``, in any order, image by image; within an image their order stays."""
        images, labels = array("q"), array("q")
        ids: list[Id] = []
        boxes, areas, points = array("d"), array("d"), array("d")
        crowd, ignored, codes = bytearray(), bytearray(), bytearray()
        point_counts, polygon_counts, code_lengths = array("q"), array("q"), array("q")
        for item in objects:
            images.append(item.image)
            ids.append(item.id)
            labels.append(item.label)
            boxes.extend(item.box)
            areas.append(item.area)
            crowd.append(item.is_crowd)
            ignored.append(item.is_ignored)
            for polygon in item.polygons:
                points.extend(polygon)
                point_counts.append(len(polygon) // 2)
            polygon_counts.append(len(item.polygons))
            codes += item.rle
            code_lengths.append(len(item.rle))
        segmentations = None
        if points or codes:
            segmentations = Segmentations(
                points=_floats(points).view(-1, 2),
                point_offsets=_offsets(point_counts),
                polygon_offsets=_offsets(polygon_counts),
                rle=_bytes(codes),
                rle_offsets=_offsets(code_lengths),
            )
        image_of = _integers(images)
        unsorted = cls(
            offsets=_offsets(torch.bincount(image_of, minlength=num_images).tolist()),
            boxes=_floats(boxes).view(-1, 4),
            labels=_integers(labels),
            ids=ids_of(ids),
            areas=_floats(areas),
            is_crowd=_bytes(crowd).bool(),
            is_ignored=_bytes(ignored).bool(),
            segmentations=segmentations,
        )
        if bool((image_of[1:] >= image_of[:-1]).all()):
            return unsorted
        return unsorted._take_rows(torch.argsort(image_of, stable=True), unsorted.offsets)

    @classmethod
    def join(cls, parts: Sequence[Annotations]) -> Annotations:
        """The images of one after those of the other, with new ids from 1 on.

        Objects of a part without masks are objects without a mask.
        """
        segmentations = None
        if any(part.segmentations is not None for part in parts):
            segmentations = Segmentations.join(
                [part.segmentations or Segmentations.none(len(part)) for part in parts]
            )
        return cls(
            offsets=_joined([part.offsets for part in parts]),
            boxes=torch.cat([part.boxes for part in parts]),
            labels=torch.cat([part.labels for part in parts]),
            ids=torch.arange(1, 1 + sum(len(part) for part in parts)),
            areas=torch.cat([part.areas for part in parts]),
            is_crowd=torch.cat([part.is_crowd for part in parts]),
            is_ignored=torch.cat([part.is_ignored for part in parts]),
            segmentations=segmentations,
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_index(self) -> Tensor:
        """(N,) the image of each object."""
        return torch.repeat_interleave(torch.arange(len(self.offsets) - 1), self.offsets.diff())

    def rows(self, image: int) -> slice:
        """Where the objects of ``image`` are."""
        start, end = self.offsets[image : image + 2].tolist()
        return slice(start, end)

    def of_images(self, images: Tensor) -> Annotations:
        """The objects of the ``images`` (J,), which become images 0 to J - 1."""
        rows, offsets = take_ragged(self.offsets, images)
        return self._take_rows(rows, offsets)

    def relabeled(self, new_label: Tensor) -> Annotations:
        """Label ``k`` becomes ``new_label[k]``; where that is negative, the object is left out."""
        labels = new_label[self.labels]
        keep = labels >= 0
        counts = torch.bincount(self.image_index[keep], minlength=len(self.offsets) - 1)
        kept = self._take_rows(keep.nonzero()[:, 0], _offsets(counts.tolist()))
        return replace(kept, labels=labels[keep])

    def _take_rows(self, rows: Tensor, offsets: Tensor) -> Annotations:
        masks = self.segmentations
        return Annotations(
            offsets=offsets,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            ids=take_ids(self.ids, rows),
            areas=self.areas[rows],
            is_crowd=self.is_crowd[rows],
            is_ignored=self.is_ignored[rows],
            segmentations=None if masks is None else masks.take(rows),
        )


@dataclass(frozen=True)
class Proposals:
    """The proposals of I images in flat arrays, best first.

    ``boxes`` (N, 5) float32 are x1, y1, x2, y2 in original pixels and a score; those of image i are
    the rows from ``offsets[i]`` to ``offsets[i + 1]``.
    """

    boxes: Tensor
    offsets: Tensor

    @classmethod
    def join(cls, parts: Sequence[Proposals]) -> Proposals:
        """The images of one after those of the other."""
        return cls(
            torch.cat([part.boxes for part in parts]), _joined([part.offsets for part in parts])
        )

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Proposals:
        """From (K, 5) arrays, one per image."""
        counts = torch.tensor([0, *(len(array) for array in arrays)], dtype=torch.int64)
        boxes = np.concatenate([np.zeros((0, 5), np.float32), *arrays]).astype(np.float32)
        return cls(torch.from_numpy(boxes), counts.cumsum(0))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, image: int) -> Tensor:
        """(K, 5) of one image."""
        start, end = self.offsets[image : image + 2].tolist()
        return self.boxes[start:end]

    def take(self, images: Tensor) -> Proposals:
        """The proposals of ``images`` (J,), in that order."""
        rows, offsets = take_ragged(self.offsets, images)
        return Proposals(self.boxes[rows], offsets)


def usable_for_training(boxes: Tensor, areas: Tensor, sizes: Tensor) -> Tensor:
    """Which boxes (N, 4) xywh a detector can learn from -> (N,) bool.

    They are at least a pixel wide and high, have an area, and meet the image, whose height and
    width are ``sizes`` (N, 2) or (2,). The rule of the published models.
    """
    x, y, width, height = boxes.unbind(-1)
    image_height, image_width = sizes.unbind(-1)
    meets = (x < image_width) & (x + width > 0) & (y < image_height) & (y + height > 0)
    return meets & (areas > 0) & (width >= 1) & (height >= 1)


# Why the annotations themselves say that an object is to be ignored.
MARKS = ("crowds (iscrowd)", "marked as difficult or ignore")


# What becomes of crowds; nobody knows while a file is read.
IGNORED_CROWDS = "ignored, unless the recipe learns them"


def notes_on_ignored(objects: Annotations) -> list[str]:
    """How many objects their file tells to ignore, and why."""
    marks = zip(MARKS, (objects.is_crowd, objects.is_ignored & ~objects.is_crowd))
    counts = {reason: int(mask.sum()) for reason, mask in marks}
    return [
        f"{n} object{'' if n == 1 else 's'} "
        f"{IGNORED_CROWDS if reason == MARKS[0] else 'ignored'}: {reason}"
        for reason, n in counts.items()
        if n
    ]


def reasons_to_ignore(
    objects: Annotations, sizes: Tensor, min_object_size: float = 0
) -> dict[str, Tensor]:
    """Which of N objects are not learned from, by reason: (N,) bool each, an object in one at most.

    ``sizes`` (I, 2) are the heights and widths of the images; see :func:`usable_for_training`.
    """
    x, y, width, height = objects.boxes.unbind(1)
    image_height, image_width = sizes[objects.image_index].unbind(1)
    outside = (x >= image_width) | (x + width <= 0) | (y >= image_height) | (y + height <= 0)
    reasons = {
        MARKS[0]: objects.is_crowd,
        MARKS[1]: objects.is_ignored,
        "under a pixel wide or high": (width < 1) | (height < 1),
        "outside the image": outside,
        "area 0": objects.areas <= 0,
        f"under {min_object_size:g} pixels wide or high": (width < min_object_size)
        | (height < min_object_size),
    }
    seen = torch.zeros(len(objects), dtype=torch.bool)
    for reason, mask in reasons.items():
        reasons[reason] = mask & ~seen
        seen |= mask
    return reasons


def take_ragged(offsets: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """For rows of varying length: the element positions of the rows ``index``, and new offsets."""
    starts = offsets[index]
    lengths = offsets[index + 1] - starts
    taken = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    shift = torch.repeat_interleave(starts - taken[:-1], lengths)
    return torch.arange(int(taken[-1])) + shift, taken


def _offsets(lengths: Sequence[int]) -> Tensor:
    counts = torch.as_tensor(np.array(lengths, np.int64))
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """The offsets of rows that lie one part after the other, from those of each part."""
    return torch.cat([parts[0].new_zeros(1), torch.cat([part.diff() for part in parts]).cumsum(0)])


def _integers(values: array[int]) -> Tensor:
    return torch.from_numpy(np.array(values, np.int64))


def _floats(values: array[float]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float64))


def _bytes(values: bytes | bytearray) -> Tensor:
    return torch.from_numpy(np.frombuffer(bytes(values), np.uint8).copy())
