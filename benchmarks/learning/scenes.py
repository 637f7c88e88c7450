"""The quickstart's scenes, with what some families need beside images: proposals, semantic and
panoptic maps."""

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
# What is around the shapes, for families that segment all pixels.
STUFF = ("background",)
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
    if experiment.model.predicts_panoptic:
        maps = folder / "annotations" / f"panoptic_{split}.json"
        return open_dataset(folder, annotations=maps, images=folder / split)
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
    maps, panoptic = folder / f"{split}_maps", folder / "annotations" / f"panoptic_{split}"
    maps.mkdir(exist_ok=True)
    panoptic.mkdir(exist_ok=True)
    entries = []
    for image in content["images"]:
        # The class after those of the shapes is background.
        classes = np.full((size, size), len(CLASSES), np.uint8)
        ids = np.full((size, size, 3), (0, 0, 255), np.uint8)  # the id is the red of a pixel
        info = [{"id": 255, "category_id": len(CLASSES) + 1, "bbox": [0, 0, size, size]}]
        for shape in content["annotations"]:
            if shape["image_id"] == image["id"]:
                polygon = np.array(shape["segmentation"][0]).reshape(-1, 2).round().astype(np.int32)
                cv2.fillPoly(classes, [polygon], shape["category_id"] - 1)
                cv2.fillPoly(ids, [polygon], (0, 0, len(info)))
                info.append(
                    {key: shape[key] for key in ("category_id", "bbox")} | {"id": len(info)}
                )
        cv2.imwrite(str(maps / image["file_name"]), classes)
        cv2.imwrite(str(panoptic / image["file_name"]), ids)
        name = image["file_name"]
        entries.append({"image_id": image["id"], "file_name": name, "segments_info": info})
    background = {"id": len(CLASSES) + 1, "name": STUFF[0], "isthing": 0}
    content["categories"].append(background)
    panoptic.with_suffix(".json").write_text(json.dumps({**content, "annotations": entries}))


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
