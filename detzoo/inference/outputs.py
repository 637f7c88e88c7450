"""Detections as files that other programs read."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2

from detzoo.evaluate.panoptic_results import segments_info, write_png
from detzoo.inference.result import Result
from detzoo.structures import BitmapMasks


class Output(ABC):
    """Writes results into a folder, one after the other."""

    name: ClassVar[str]

    def __init__(
        self, folder: Path, class_names: Sequence[str], stuff_names: Sequence[str] = ()
    ) -> None:
        self.folder, self.class_names, self.stuff_names = folder, class_names, stuff_names

    @abstractmethod
    def add(self, result: Result, stem: str) -> None:
        """Writes the detections of one image; ``stem`` is a name of its own for its files."""

    def close(self) -> None:  # noqa: B027 - most have nothing left
        """Writes what is left when all results are there."""


class CsvOutput(Output):
    """``detections.csv``: image, class, score, and the corners of the box in pixels."""

    name = "csv"

    def __init__(
        self, folder: Path, class_names: Sequence[str], stuff_names: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, class_names, stuff_names)
        self._write([("image", "class", "score", "x1", "y1", "x2", "y2")], "w")

    def add(self, result: Result, stem: str) -> None:
        path = result.path.encode("utf-8", "backslashreplace").decode("utf-8")
        rows = zip(result.names, result.scores.tolist(), result.boxes.tolist())
        self._write(
            [
                (path, name, round(score, 5), *(round(value, 2) for value in box))
                for name, score, box in rows
            ],
            "a",
        )

    def _write(self, rows: Sequence[Sequence[object]], mode: str) -> None:
        path = self.folder / "detections.csv"
        with open(path, mode, newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


class CocoOutput(Output):
    """``coco.json``: a data set in COCO's format whose objects have a ``score``, as a start for
    annotating; image ids count from 1."""

    name = "coco"

    def __init__(
        self, folder: Path, class_names: Sequence[str], stuff_names: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, class_names, stuff_names)
        self._images: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []

    def add(self, result: Result, stem: str) -> None:
        height, width = result.image.shape[:2]
        image = len(self._images) + 1
        name = result.path.encode("utf-8", "backslashreplace").decode("utf-8")
        self._images.append({"id": image, "file_name": name, "height": height, "width": width})
        rows = zip(result.to_json()["detections"], result.labels.tolist())
        for found, label in rows:
            x1, y1, x2, y2 = found["box"]
            self._objects.append(
                {
                    "id": len(self._objects) + 1,
                    "image_id": image,
                    "category_id": label + 1,
                    "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                    "area": round((x2 - x1) * (y2 - y1), 2),
                    "iscrowd": 0,
                    "score": found["score"],
                    **({"segmentation": found["mask"]} if "mask" in found else {}),
                }
            )

    def close(self) -> None:
        categories = [{"id": k + 1, "name": name} for k, name in enumerate(self.class_names)]
        content = {
            "images": self._images,
            "annotations": self._objects,
            "categories": categories,
        }
        text = json.dumps(content, ensure_ascii=False)
        (self.folder / "coco.json").write_text(text, encoding="utf-8")


class YoloOutput(Output):
    """``yolo/NAME.txt`` for each image: class, center and size in parts of the image, score; and
    ``yolo/classes.txt``."""

    name = "yolo"

    def __init__(
        self, folder: Path, class_names: Sequence[str], stuff_names: Sequence[str] = ()
    ) -> None:
        super().__init__(folder / "yolo", class_names, stuff_names)
        self.folder.mkdir(exist_ok=True)
        names = "".join(f"{name}\n" for name in class_names)
        (self.folder / "classes.txt").write_text(names, encoding="utf-8")

    def add(self, result: Result, stem: str) -> None:
        height, width = result.image.shape[:2]
        lines = []
        rows = zip(result.labels.tolist(), result.boxes.tolist(), result.scores.tolist())
        for label, (x1, y1, x2, y2), score in rows:
            numbers = (
                (x1 + x2) / 2 / width,
                (y1 + y2) / 2 / height,
                (x2 - x1) / width,
                (y2 - y1) / height,
                score,
            )
            lines.append(f"{label} {' '.join(f'{number:.6f}' for number in numbers)}\n")
        (self.folder / f"{stem}.txt").write_text("".join(lines), encoding="ascii")


class VocOutput(Output):
    """``voc/NAME.xml`` for each image, in Pascal VOC's format; pixels count from 1 there."""

    name = "voc"

    def __init__(
        self, folder: Path, class_names: Sequence[str], stuff_names: Sequence[str] = ()
    ) -> None:
        super().__init__(folder / "voc", class_names, stuff_names)
        self.folder.mkdir(exist_ok=True)

    def add(self, result: Result, stem: str) -> None:
        height, width = result.image.shape[:2]
        root = ElementTree.Element("annotation")
        name = Path(result.path).name.encode("utf-8", "backslashreplace").decode("utf-8")
        ElementTree.SubElement(root, "filename").text = name
        size = ElementTree.SubElement(root, "size")
        for key, value in (("width", width), ("height", height), ("depth", 3)):
            ElementTree.SubElement(size, key).text = str(value)
        for class_name, box in zip(result.names, result.boxes.tolist()):
            found = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(found, "name").text = class_name
            corners = ElementTree.SubElement(found, "bndbox")
            x1, y1, x2, y2 = (round(value) for value in box)
            # The last pixel belongs to the box.
            for key, value in (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2)):
                ElementTree.SubElement(corners, key).text = str(value)
        ElementTree.indent(root)
        ElementTree.ElementTree(root).write(self.folder / f"{stem}.xml", encoding="utf-8")


class CropOutput(Output):
    """``crops/CLASS/NAME-K.jpg``: what is in each box; around the mask, where there is one, it is
    black."""

    name = "crops"

    def __init__(
        self, folder: Path, class_names: Sequence[str], stuff_names: Sequence[str] = ()
    ) -> None:
        super().__init__(folder / "crops", class_names, stuff_names)

    def add(self, result: Result, stem: str) -> None:
        height, width = result.image.shape[:2]
        masks = result.detections.masks
        bitmaps = masks.bitmaps.bool().numpy() if isinstance(masks, BitmapMasks) else None
        for k, (label, box) in enumerate(zip(result.labels.tolist(), result.boxes.tolist())):
            x1, y1 = (max(round(value), 0) for value in box[:2])
            x2, y2 = min(round(box[2]), width), min(round(box[3]), height)
            if x2 <= x1 or y2 <= y1:
                continue
            image = result.image[y1:y2, x1:x2, :3]
            if bitmaps is not None:
                image = image * bitmaps[k, y1:y2, x1:x2, None]
            # A class may be called ../x.
            safe = "".join(
                c if c.isalnum() or c in " -_." else "_" for c in self.class_names[label]
            )
            folder = self.folder / (safe.strip(". ") or f"class {label}")
            folder.mkdir(parents=True, exist_ok=True)
            data = cv2.imencode(".jpg", image)[1].tobytes()
            (folder / f"{stem}-{k}.jpg").write_bytes(data)


class PanopticOutput(Output):
    """``panoptic.json`` and a PNG for each image in ``panoptic``: a data set in COCO's panoptic
    format, as a start for annotating. Only panoptic models have it."""

    name = "panoptic"

    def __init__(
        self, folder: Path, class_names: Sequence[str], stuff_names: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, class_names, stuff_names)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, result: Result, stem: str) -> None:
        height, width = result.image.shape[:2]
        found, image = result.panoptic, len(self._images) + 1
        assert found is not None, "a panoptic model has one for each image"
        ids = range(1, len(self.class_names) + len(self.stuff_names) + 1)
        write_png(self.folder / "panoptic" / f"{stem}.png", found, ids)
        name = result.path.encode("utf-8", "backslashreplace").decode("utf-8")
        self._images.append({"id": image, "file_name": name, "height": height, "width": width})
        info = segments_info(found, ids)
        self._annotations.append(
            {"image_id": image, "file_name": f"{stem}.png", "segments_info": info}
        )

    def close(self) -> None:
        names = (*self.class_names, *self.stuff_names)
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": [
                {"id": k + 1, "name": name, "isthing": int(k < len(self.class_names))}
                for k, name in enumerate(names)
            ],
        }
        text = json.dumps(content, ensure_ascii=False)
        (self.folder / "panoptic.json").write_text(text, encoding="utf-8")


OUTPUTS: dict[str, type[Output]] = {
    output.name: output
    for output in (CsvOutput, CocoOutput, YoloOutput, VocOutput, CropOutput, PanopticOutput)
}
