"""Which detections are kept, and the files that they are written to."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import torch

from detzoo.data.locate import open_dataset
from detzoo.errors import ConfigError
from detzoo.inference.outputs import OUTPUTS, PanopticOutput
from detzoo.inference.result import Result
from detzoo.inference.selection import Selection
from detzoo.structures import BitmapMasks, Detections

NAMES = ("cat", "dog", "../x")


@pytest.fixture
def result() -> Result:
    boxes = torch.tensor([[10.0, 20.0, 50.0, 60.0], [0, 0, 20, 10], [70, 30, 100, 50]])
    masks = torch.zeros(3, 80, 100, dtype=torch.bool)
    masks[0, 20:40, 10:50] = True
    masks[1, :10, :20] = True
    masks[2, 30:50, 70:] = True
    scores, labels = torch.tensor([0.9, 0.6, 0.4]), torch.tensor([0, 1, 2])
    found = Detections(boxes, scores, labels, BitmapMasks(masks))
    return Result(found, NAMES, np.full((80, 100, 3), 200, np.uint8), "photos/a.jpg")


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"min_score": "0.5"}, ["cat", "dog"]),
        ({"min_score": "0.5,dog=0.7"}, ["cat"]),
        ({"min_score": "../x=0.2"}, ["cat", "dog", "../x"]),  # others: 0.3
        ({"min_score": "0", "classes": ["dog"]}, ["dog"]),
        ({"min_score": "0", "max_detections": 2}, ["cat", "dog"]),
        ({"min_score": "auto", "thresholds": {"cat": 0.95, "../x": 0.1}}, ["dog", "../x"]),
    ],
)
def test_what_is_kept(result: Result, options: dict[str, Any], kept: list[str]) -> None:
    selection = Selection.of(NAMES, **options)
    assert selection(result).names == kept
    assert all(selection.lowest <= score for score in selection(result).scores.tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_score": "1.5"}, "not a score from 0 to 1"),
        ({"min_score": "nan"}, "not a score from 0 to 1"),
        ({"min_score": "often"}, "not a score from 0 to 1"),
        ({"min_score": "cow=0.5"}, "no class 'cow'"),
        ({"min_score": "0.5", "classes": ["cow"]}, "no class 'cow'"),
        ({"min_score": "auto"}, "--store-thresholds"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Selection.of(NAMES, **options)


def test_files(result: Result, tmp_path: Path) -> None:
    for kind in OUTPUTS.values():
        if kind is PanopticOutput:
            continue  # of panoptic models: see test_panoptic.py
        output = kind(tmp_path, NAMES)
        output.add(result, "a")
        output.close()

    with open(tmp_path / "detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(NAMES)
    assert rows[0]["x2"] == "50.0"

    content = json.loads((tmp_path / "coco.json").read_text())
    first = content["annotations"][0]
    assert (first["bbox"], first["category_id"], first["score"]) == ([10, 20, 40, 40], 1, 0.9)
    assert first["segmentation"]["size"] == [80, 100]

    assert (tmp_path / "yolo" / "classes.txt").read_text().split() == list(NAMES)
    lines = (tmp_path / "yolo" / "a.txt").read_text().splitlines()
    assert lines[0] == "0 0.300000 0.500000 0.400000 0.500000 0.900000"

    box = ElementTree.parse(tmp_path / "voc" / "a.xml").getroot().find("object/bndbox")
    assert box is not None
    assert [int(side.text or "") for side in box] == [11, 21, 50, 60]

    # A class cannot leave the folder.
    crops = sorted((tmp_path / "crops").rglob("*.jpg"))
    assert len(crops) == 3
    assert {path.parent.name for path in crops} == {"cat", "dog", "_x"}
    crop = cv2.imread(str(tmp_path / "crops" / "cat" / "a-0.jpg"))
    assert crop is not None
    assert crop.shape == (40, 40, 3)
    assert crop[:15].min() > 190
    assert crop[25:].max() < 10


def test_what_is_written_is_read_again(result: Result, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.jpg"), result.image)
    output = OUTPUTS["coco"](tmp_path, NAMES)
    output.add(result, "a")
    output.close()
    data = open_dataset(tmp_path / "coco.json", images=tmp_path)
    assert data.class_names == NAMES
    assert data.annotations.boxes[1].tolist() == [0, 0, 20, 10]
