"""All formats of data sets, in the order in which they are tried."""

from __future__ import annotations

from detzoo.data.formats import cityscapes, coco, voc, wider_face, yolo
from detzoo.data.formats.base import Format

FORMATS: tuple[Format, ...] = (
    coco.FORMAT,
    cityscapes.FORMAT,
    wider_face.FORMAT,
    voc.FORMAT,
    yolo.FORMAT,
)
