"""The samples have the form of https://labelstud.io/guide/export, "JSON" and "JSON_MIN"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detzoo.data.locate import open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

RECTANGLE = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0, "rotation": 0}


def region(value: dict[str, Any], kind: str, **more: Any) -> dict[str, Any]:
    entry = {
        "original_width": 100,
        "original_height": 50,
        "image_rotation": 0,
        "value": value,
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "origin": "manual",
    }
    return {**entry, **more}


def task(number: int, image: str, *results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    annotations = [
        {"id": k, "completed_by": 1, "result": r, "was_cancelled": False, "ground_truth": False}
        for k, r in enumerate(results)
    ]
    return {"id": number, "annotations": annotations, "data": {"image": image}, **more}


RESULT = [
    region({**RECTANGLE, "rectanglelabels": ["car"]}, "rectanglelabels", id="Dx_aB91ISN"),
    # Turned by 90 degrees about its top left corner, (50, 10): it lies left of it.
    region(
        {"x": 50, "y": 20, "width": 10, "height": 40, "rotation": 90, "rectanglelabels": ["car"]},
        "rectanglelabels",
        id="b",
    ),
    region(
        {"points": [[60, 20], [80, 20], [80, 60]], "polygonlabels": ["tree"]},
        "polygonlabels",
        id="c",
    ),
    region(
        {"x": 90, "y": 80, "radiusX": 5, "radiusY": 10, "rotation": 0, "ellipselabels": ["tree"]},
        "ellipselabels",
        id="d",
    ),
    region({"x": 5, "y": 5, "width": 0.5, "keypointlabels": ["car"]}, "keypointlabels", id="e"),
    region({"format": "rle", "rle": [0, 1], "brushlabels": ["tree"]}, "brushlabels", id="f"),
    {
        "value": {"choices": ["good"]},
        "id": "g",
        "from_name": "q",
        "to_name": "image",
        "type": "choices",
    },
]
EXPECTED = [
    ("car", [10, 10, 40, 30]),
    ("car", [30, 10, 50, 20]),
    ("tree", [60, 10, 80, 30]),
    ("tree", [85, 35, 95, 45]),
]


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/upload/1/4425adf9-a.jpg", "images/4425adf9-a.jpg"),
        ("/data/upload/1/4425adf9-a.jpg", "images/a.jpg"),
        ("/data/local-files/?d=set%2Fimages%2Fa.jpg", "images/a.jpg"),
        ("s3://bucket/images/a.jpg", "a.jpg"),
        ("https://example.org/pictures/my%20a.jpg", "my a.jpg"),
    ],
)
def test_json(tmp_path: Path, address: str, file: str) -> None:
    content = [task(1, address, RESULT, RESULT[:1]), task(2, "/data/upload/1/4425adfa-b.jpg")]
    root = write(tmp_path, {file: "", "export.json": json.dumps(content)})
    for place in (root, root / "export.json"):
        assert boxes(place) == EXPECTED
    assert open_dataset(root).notes[-4:] == (
        "1 image left out: not annotated",
        "1 image annotated several times: the ground truth or the first one counts",
        "1 object left out: key points have no area",
        "1 object left out: brush masks are not read: export them as COCO",
    )


def test_the_approved_annotation_counts(tmp_path: Path) -> None:
    entry = task(1, "a.jpg", RESULT, RESULT[:1])
    entry["annotations"][1]["ground_truth"] = True
    root = write(tmp_path, {"a.jpg": "", "x.json": json.dumps([entry])})
    assert boxes(root) == EXPECTED[:1]
    entry["annotations"][1]["was_cancelled"] = True
    write(tmp_path, {"x.json": json.dumps([entry])})
    assert boxes(root) == EXPECTED


def test_labels_of_their_own(tmp_path: Path) -> None:
    """The tags Rectangle and Labels give two results with one id."""
    result = [
        region(RECTANGLE, "rectangle", id="a"),
        region({**RECTANGLE, "labels": ["car"]}, "labels", id="a"),
        region(RECTANGLE, "rectangle", id="b"),
    ]
    files = {"a.jpg": "", "x.json": json.dumps([task(1, "a.jpg", result)])}
    assert boxes(write(tmp_path, files)) == EXPECTED[:1]
    assert open_dataset(tmp_path).notes == ("1 object left out: regions without a label",)


def test_json_min(tmp_path: Path) -> None:
    label = {**RECTANGLE, "rectanglelabels": ["car"], "original_width": 100, "original_height": 50}
    entry = {
        "image": "/data/upload/1/4425adf9-a.jpg",
        "id": 1,
        "label": [label],
        "annotator": 1,
        "annotation_id": 1,
        "created_at": "2021-03-09T21:52:49.513742Z",
        "updated_at": "2021-03-09T22:16:08.746926Z",
        "lead_time": 83.836,
    }
    assert (
        boxes(write(tmp_path, {"images/a.jpg": "", "x.json": json.dumps([entry])})) == EXPECTED[:1]
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({**RECTANGLE, "x": None}, r"x\.json: task 1: region 1: its x is None"),
        ({"points": [[1, "2"]]}, "its points are"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, value: dict[str, Any], message: str) -> None:
    result = [region({**value, "rectanglelabels": ["car"]}, "rectanglelabels")]
    files = {"a.jpg": "", "x.json": json.dumps([task(1, "a.jpg", result)])}
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, files))


def test_turned_images_are_refused(tmp_path: Path) -> None:
    result = [region({**RECTANGLE, "rectanglelabels": ["car"]}, "x", image_rotation=90)]
    files = {"a.jpg": "", "x.json": json.dumps([task(1, "a.jpg", result)])}
    with pytest.raises(DataError, match="was turned in Label Studio"):
        open_dataset(write(tmp_path, files))
