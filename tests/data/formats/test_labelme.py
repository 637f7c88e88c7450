"""The sample has the form of labelme's examples/instance_segmentation/data_annotated/*.json."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write


def shape(label: str, points: list[list[float]], kind: str, **more: Any) -> dict[str, Any]:
    entry = {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}
    return {**entry, **more}


def content(*shapes: dict[str, Any], image: str = "a.jpg") -> str:
    return json.dumps(
        {
            "version": "4.0.0",
            "flags": {},
            "shapes": list(shapes),
            "imagePath": image,
            "imageData": None,
            "imageHeight": 50,
            "imageWidth": 100,
        }
    )


MASK = base64.b64encode(
    cv2.imencode(".png", np.array([[0, 255, 255], [0, 0, 255]], np.uint8))[1].tobytes()
).decode()
SAMPLE = content(
    shape("bus", [[10.0, 5.0], [30.0, 5.0], [30.0, 25.0]], "polygon", group_id=1),
    shape("bus", [[40.0, 5.0], [50.0, 5.0], [50.0, 15.0]], "polygon", group_id=1),
    shape("car", [[80.0, 20.0], [60.0, 10.0]], "rectangle"),
    shape("wheel", [[20.0, 40.0], [20.0, 45.0]], "circle"),
    shape("line", [[1.0, 1.0], [9.0, 9.0]], "line"),
    shape("car", [[70.0, 40.0], [72.0, 41.0]], "mask", mask=MASK),
)


@pytest.mark.parametrize(
    ("image", "path", "file"),
    [
        ("a.jpg", "a.jpg", "a.json"),
        ("images/a.jpg", "..\\\\images\\\\a.jpg".replace("\\\\", "\\"), "labels/a.json"),
        ("train/a.jpg", "a.jpg", "train/a.json"),
        ("images/a.jpg", "a.jpg", "annotations/a.json"),
    ],
)
def test_the_sample(tmp_path: Path, image: str, path: str, file: str) -> None:
    text = SAMPLE.replace('"a.jpg"', json.dumps(path))
    root = write(tmp_path, {image: "", file: text})
    assert available_splits(root) == ("train",)
    data = open_dataset(root)
    assert data.class_names == ("bus", "car", "wheel")
    assert [(name, box) for name, box in boxes(root)] == [
        ("bus", [10, 5, 50, 25]),
        ("car", [60, 10, 80, 20]),
        ("wheel", [15, 35, 25, 45]),
        # The mask is that in the file, from (70, 40): .XX and ..X.
        ("car", [71, 40, 73, 42]),
    ]
    assert data.notes == ("1 object left out: shape line has no area",)
    assert data.annotations.segmentations is not None
    assert len(data.annotations.segmentations.polygons(0)) == 2
    assert data.annotations.segmentations.is_there.tolist() == [True, False, True, True]
    assert data.annotations.areas.tolist()[3] == 3


def test_other_json_files_do_not_disturb(tmp_path: Path) -> None:
    files = {"a.jpg": "", "a.json": SAMPLE, "config.json": '{"theme": "dark"}'}
    assert len(open_dataset(write(tmp_path, files))) == 1


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([shape("x", [[1, "2"]], "polygon")], r"a\.json: shapes\[0\]: its points are"),
        ([shape("x", [], "polygon")], "its points are"),
        ([{"points": [[1, 2]]}], "has no label"),
        ([shape("x", [[1, 2], [3, 4], [5, 6]], "rectangle")], "is a 'rectangle' of 3 points"),
        (
            [shape("x", [[99, 49], [101, 50]], "mask", mask=MASK)],
            r"its mask of 3 x 2 pixels at \(99, 49\) reaches beyond",
        ),
        ([shape("x", [[1, 1], [3, 2]], "mask", mask="no")], "its mask is no image"),
        ([shape("x", [[1, 1], [3, float("nan")]], "rectangle")], "its points are"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, shapes: list[Any], message: str) -> None:
    root = write(tmp_path, {"a.jpg": "", "a.json": content(*shapes)})
    with pytest.raises(DataError, match=message):
        open_dataset(root)


def test_other_files_of_json_are_counted(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.json": SAMPLE, "a.jpg": "", "stats.json": "{}"})
    assert open_dataset(root).notes[0] == "1 JSON file without shapes left out"
