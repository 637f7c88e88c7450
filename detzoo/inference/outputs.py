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
from detzoo.files import part_of, take_parts
from detzoo.inference.result import Result
from detzoo.structures import BitmapMasks


class Output(ABC):
    """Writes results into a folder, or its ``subfolder``, one after the other.

    Of several processes each writes a ``part``, and the first joins them.
    """

    name: ClassVar[str]
    subfolder: ClassVar[str] = ""

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        stuff_names: Sequence[str] = (),
        part: int = 0,
    ) -> None:
        self.folder = folder / self.subfolder
        self.class_names, self.stuff_names = class_names, stuff_names
        self.part = part
        self.start()

    def start(self) -> None:  # noqa: B027 - some have nothing to prepare
        """Prepares for the first result."""

    @abstractmethod
    def add(self, result: Result, stem: str) -> None:
        """Writes the detections of one image; ``stem`` is a name of its own for its files."""

    def close(self) -> None:  # noqa: B027 - most have nothing left
        """Writes what is left when all results are there."""

    def join(self, parts: int) -> None:  # noqa: B027 - most have a file for each image
        """Adds what the other processes wrote, when all are done, in the first of ``parts``."""


class CsvOutput(Output):
    """``detections.csv``: image, class, score, the corners of the box in pixels, and the number of
    an object that was tracked through a video."""

    name = "csv"

    def start(self) -> None:
        self._path = part_of(self.folder / "detections.csv", self.part)
        self._write([("image", "class", "score", "x1", "y1", "x2", "y2", "track")], "w")

    def add(self, result: Result, stem: str) -> None:
        path = result.path.encode("utf-8", "backslashreplace").decode("utf-8")
        tracks = [-1] * len(result) if result.tracks is None else result.tracks.tolist()
        rows = zip(result.names, result.scores.tolist(), result.boxes.tolist(), tracks)
        self._write(
            [
                (
                    *(path, name, round(score, 5), *(round(value, 2) for value in box)),
                    "" if track < 0 else track,
                )
                for name, score, box, track in rows
            ],
            "a",
        )

    def _write(self, rows: Sequence[Sequence[object]], mode: str) -> None:
        with open(self._path, mode, newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    def join(self, parts: int) -> None:
        with open(self._path, "ab") as file:
            for part in take_parts(self._path, parts):
                file.write(part.partition(b"\n")[2])  # without the titles


class CocoOutput(Output):
    """``coco.json``: a data set in COCO's format whose objects have a ``score``, as a start for
    annotating; image ids count from 1."""

    name = "coco"

    def start(self) -> None:
        self._path = part_of(self.folder / "coco.json", self.part)
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
        self._path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def join(self, parts: int) -> None:
        for part in take_parts(self._path, parts):
            other, images, objects = json.loads(part), len(self._images), len(self._objects)
            self._images += [image | {"id": image["id"] + images} for image in other["images"]]
            self._objects += [
                found | {"id": found["id"] + objects, "image_id": found["image_id"] + images}
                for found in other["annotations"]
            ]
        self.close()


class YoloOutput(Output):
    """``yolo/NAME.txt`` for each image: class, center and size in parts of the image, score; and
    ``yolo/classes.txt``."""

    name = subfolder = "yolo"

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        if self.part == 0:
            names = "".join(f"{name}\n" for name in self.class_names)
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

    name = subfolder = "voc"

    def start(self) -> None:
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

    name = subfolder = "crops"

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

    def start(self) -> None:
        self._path = part_of(self.folder / "panoptic.json", self.part)
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
        self._path.write_text(text, encoding="utf-8")

    def join(self, parts: int) -> None:
        for part in take_parts(self._path, parts):
            other, images = json.loads(part), len(self._images)
            self._images += [image | {"id": image["id"] + images} for image in other["images"]]
            self._annotations += [
                one | {"image_id": one["image_id"] + images} for one in other["annotations"]
            ]
        self.close()


OUTPUTS: dict[str, type[Output]] = {
    output.name: output
    for output in (CsvOutput, CocoOutput, YoloOutput, VocOutput, CropOutput, PanopticOutput)
}
