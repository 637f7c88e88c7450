"""All formats of data sets, in the order in which they are tried."""

from __future__ import annotations

from detzoo.data.formats import (
    cityscapes,
    coco,
    csv_tables,
    cvat,
    label_studio,
    labelme,
    open_images,
    via,
    voc,
    wider_face,
    yolo,
)
from detzoo.data.formats.base import Format

# The most common first: others look into more files.
FORMATS: tuple[Format, ...] = (
    coco.FORMAT,
    cityscapes.FORMAT,
    wider_face.FORMAT,
    voc.FORMAT,
    yolo.FORMAT,
    cvat.FORMAT,
    labelme.FORMAT,
    label_studio.FORMAT,
    via.FORMAT,
    open_images.FORMAT,
    csv_tables.FORMAT,
)
