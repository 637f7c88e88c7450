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

# COCO takes any JSON file it is given: those that know theirs by the content come before it.
FORMATS: tuple[Format, ...] = (
    label_studio.FORMAT,
    via.FORMAT,
    coco.FORMAT,
    cityscapes.FORMAT,
    wider_face.FORMAT,
    cvat.FORMAT,
    voc.FORMAT,
    yolo.FORMAT,
    labelme.FORMAT,
    open_images.FORMAT,
    csv_tables.FORMAT,
)
