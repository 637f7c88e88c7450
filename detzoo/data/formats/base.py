"""What a format of data sets is, and the records that its reader makes of files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detzoo.data.dataset import DetectionDataset

SPLITS = ("train", "val", "test")
# The name of data that are not divided into splits.
UNDIVIDED = ""

_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("default", "all"), UNDIVIDED),
}


@dataclass(frozen=True)
class Source:
    """One split of a data set, found but not read.

    ``path`` is the file or folder that describes it. ``read`` returns the data set; it is called
    with the folder of images that the user named, or None for the one that the format tells.
    """

    path: Path
    read: Callable[[Path | None], DetectionDataset]


@dataclass(frozen=True)
class Format:
    """A layout of files that :func:`~detzoo.data.locate.open_dataset` recognizes.

    ``layout`` says what it looks like, ``flags`` what becomes of ignored, difficult, truncated or
    grouped objects, and ``given`` what the user gives as ``--data``: the columns of the table in
    ``docs/data.md``, in Markdown. ``find`` returns the splits that a file
    or folder holds in this format, by the names of :func:`split_name`: none if it is of another
    format. It reads no more than it must, and raises :class:`~detzoo.errors.DataError` only where
    the format is beyond doubt.
    """

    name: str
    layout: str
    flags: str
    find: Callable[[Path], dict[str, Source]]
    given: str = "`DIR`"


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object as its file has it.

    ``box`` is x, y, width, height; None stands for the extent of the mask, which is ``polygons``
    (flat x, y, x, y, ... lists) or ``rle`` (compressed run lengths). ``ignored`` is the reason why
    the object is neither learned nor counted: "difficult", "truncated". A crowd is a region of
    indistinguishable objects. ``class_name`` None is a region in which no class counts.
    """

    class_name: str | None
    box: tuple[float, float, float, float] | None = None
    polygons: tuple[Sequence[float], ...] = ()
    rle: bytes = b""
    is_crowd: bool = False
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image and its objects as their file has them.

    ``file_name`` is relative to the image folder. ``size`` is (height, width); None is read from
    the image. With ``in_fractions``, coordinates are fractions of width and height instead of
    pixels. ``left_out`` gives a reason for each object that was not read: "lines have no area".
    Messages about the image begin with ``where``: the file, and the line or entry in it.
    """

    file_name: str
    objects: Sequence[ObjectRecord]
    where: str
    size: tuple[int, int] | None = None
    in_fractions: bool = False
    left_out: Sequence[str] = ()


def counted(count: int, noun: str) -> str:
    """ "1 image" or "2 images"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def split_name(text: str) -> str | None:
    """The split that the name of a file or folder speaks of.

    ``instances_Train2017`` and ``custom_training`` are "train", ``valid`` is "val", ``default`` and
    ``all`` are :data:`UNDIVIDED`. None if there is no such word.
    """
    words = re.findall("[a-z]+", text.lower())
    return next((_NAMES[word] for word in words if word in _NAMES), None)
