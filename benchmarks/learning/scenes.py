"""The quickstart's scenes, with what some families need beside images: proposals, semantic maps."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np

from detzoo.data.dataset import DetectionDataset
from detzoo.data.locate import open_dataset
from detzoo.data.proposals import Proposals
from detzoo.experiment import Experiment
from detzoo.quickstart.scenes import CLASSES, write_scenes

SIZE = 128
# Of a family that finds objects without naming them.
ONE_CLASS = ("shape",)
# Sides of the regions of a detector that does not propose its own, and pixels between them.
REGION_SIDES, REGION_STEP = (28, 40, 56), 8


def open_scenes(
    folder: Path, experiment: Experiment, count: int, seed: int, size: int = SIZE
) -> DetectionDataset:
    """``count`` scenes, written to ``folder`` unless they are there, as the experiment needs."""
    split = f"scenes_{seed}"
    annotations = folder / "annotations" / f"{split}.json"
    if not annotations.exists():
        _write(folder, split, count, seed, size)
    if experiment.model.is_class_agnostic:
        annotations = _merge_classes(annotations)
    data = open_dataset(folder, annotations=annotations, images=folder / split)
    if experiment.model.needs_proposals:
        regions = Proposals.of([_regions(size)] * len(data))
        data = dataclasses.replace(data, proposals=regions)
    if experiment.model.needs_semantic_maps:
        data = data.with_semantic_maps(folder / f"{split}_maps")
    return data


def _write(folder: Path, split: str, count: int, seed: int, size: int) -> None:
    written = write_scenes(folder, split, count, size=size, seed=seed)
    content = json.loads(written.read_text())
    maps = folder / f"{split}_maps"
    maps.mkdir(exist_ok=True)
    for image in content["images"]:
        # The class after those of the shapes is background.
        classes = np.full((size, size), len(CLASSES), np.uint8)
        for shape in content["annotations"]:
            if shape["image_id"] == image["id"]:
                polygon = np.array(shape["segmentation"][0]).reshape(-1, 2)
                cv2.fillPoly(classes, [polygon.round().astype(np.int32)], shape["category_id"] - 1)
        cv2.imwrite(str(maps / image["file_name"]), classes)


def _merge_classes(annotations: Path) -> Path:
    """The same annotations with one class."""
    content = json.loads(annotations.read_text())
    content["categories"] = [{"id": 1, "name": ONE_CLASS[0]}]
    for shape in content["annotations"]:
        shape["category_id"] = 1
    merged = annotations.with_name(f"{annotations.stem}_one_class.json")
    merged.write_text(json.dumps(content))
    return merged


def _regions(size: int) -> np.ndarray:
    """(K, 5) squares all over an image, which know nothing of what it shows."""
    corners = [
        (x, y, x + side, y + side, 1.0)
        for side in REGION_SIDES
        for y in range(0, size - side + 1, REGION_STEP)
        for x in range(0, size - side + 1, REGION_STEP)
    ]
    return np.array(corners, np.float32)
