"""All formats of data sets, in the order in which they are tried."""

from __future__ import annotations

from detzoo.data.formats import (
    bdd100k,
    cityscapes,
    coco,
    crowdhuman,
    csv_tables,
    cvat,
    dota,
    hugging_face,
    kitti,
    label_studio,
    labelme,
    open_images,
    parquet,
    via,
    visdrone,
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
    visdrone.FORMAT,
    kitti.FORMAT,
    dota.FORMAT,
    crowdhuman.FORMAT,
    hugging_face.FORMAT,
    parquet.FORMAT,
    yolo.FORMAT,
    cvat.FORMAT,
    labelme.FORMAT,
    label_studio.FORMAT,
    via.FORMAT,
    bdd100k.FORMAT,
    open_images.FORMAT,
    csv_tables.FORMAT,
)
