"""Writes Pascal VOC's format: an XML file for each image, and lists of images for the splits."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from detzoo.data.dataset import DetectionDataset
from detzoo.data.writers.images import ImageFolder

_FOLDERS = ("JPEGImages", "Annotations", "ImageSets/Main")


def write_voc(datasets: Mapping[str, DetectionDataset], folder: Path, link: bool) -> Counter[str]:
    """Writes ``JPEGImages``, ``Annotations`` and ``ImageSets/Main/<split>.txt``.

    Coordinates count from 1, as :func:`~detzoo.data.formats.voc.read_voc` reads them. Returns what
    the format cannot hold, and how often: masks, and whether an object is a crowd or difficult.
    """
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    images = ImageFolder(folder / "JPEGImages", flat=True, link=link)
    changes: Counter[str] = Counter()
    for split, dataset in datasets.items():
        names = []
        for i in range(len(dataset)):
            file = PurePosixPath(images.put(dataset, i))
            names.append(file.stem)
            content = ET.ElementTree(_annotation(dataset, i, file.name))
            ET.indent(content, " " * 4)
            content.write(folder / "Annotations" / f"{file.stem}.xml", encoding="utf-8")
        listing = folder / "ImageSets" / "Main" / f"{split}.txt"
        listing.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        objects = dataset.annotations
        changes["crowds written as difficult objects"] += int(objects.is_crowd.sum())
        if objects.segmentations is not None:
            num_masks = int(objects.segmentations.is_there.sum())
            changes["masks left out: VOC's XML has none"] += num_masks
    changes["images renamed, since another has the same name"] += images.num_renamed
    return changes


def _annotation(dataset: DetectionDataset, i: int, file_name: str) -> ET.Element:
    root = ET.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", file_name)
    height, width = dataset.sizes[i].tolist()
    size = _add(root, "size")
    for key, number in (("width", width), ("height", height), ("depth", dataset.channels)):
        _add(size, key, number)
    objects = dataset.annotations
    rows = objects.rows(i)
    ignored = (objects.is_crowd | objects.is_ignored)[rows].tolist()
    for label, box, is_ignored in zip(
        objects.labels[rows].tolist(), objects.boxes[rows].tolist(), ignored
    ):
        x, y, box_width, box_height = box
        item = _add(root, "object")
        _add(item, "name", dataset.class_names[label])
        _add(item, "difficult", int(is_ignored))
        corners = _add(item, "bndbox")
        _add(corners, "xmin", x + 1)
        _add(corners, "ymin", y + 1)
        _add(corners, "xmax", x + 1 + box_width)
        _add(corners, "ymax", y + 1 + box_height)
    return root


def _add(parent: ET.Element, name: str, value: str | float = "") -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = value if isinstance(value, str) else f"{value:.12g}"
    return element
