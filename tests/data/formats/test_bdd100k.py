"""Samples in the form of https://doc.bdd100k.com/format.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

BOX = {"x1": 10.5, "y1": 5, "x2": 29.5, "y2": 24}


def frame(*labels: Any, name: str = "b1c66a42-6f7d68ca.jpg") -> dict[str, Any]:
    attributes = {"weather": "overcast", "scene": "city street", "timeofday": "daytime"}
    return {"name": name, "attributes": attributes, "timestamp": 10000, "labels": list(labels)}


def label(category: str, box: Any, **attributes: bool) -> dict[str, Any]:
    flags = {"occluded": True, "truncated": False, "trafficLightColor": "NA", **attributes}
    return {"id": "0", "attributes": flags, "category": category, "box2d": box}


FRAMES = [
    frame(
        label("traffic sign", BOX),
        label("person", BOX, crowd=True),
        label("car", BOX, ignored=True),
        {"id": "1", "category": "lane", "poly2d": [{"vertices": [[1, 2], [3, 4]], "types": "LL"}]},
    ),
    {"name": "c.jpg", "labels": None},
]


@pytest.mark.parametrize("content", [FRAMES, {"frames": FRAMES, "config": {}}])
@pytest.mark.parametrize(
    "file", ["labels/det_20/det_train.json", "labels/bdd100k_labels_images_train.json"]
)
def test_the_sample(tmp_path: Path, content: Any, file: str) -> None:
    names = [f"images/100k/train/{one['name']}" for one in FRAMES]
    root = write(tmp_path, {file: json.dumps(content), **dict.fromkeys(names, "")})
    assert available_splits(root) == ("train",)
    # Corners are the first and the last pixel.
    assert boxes(root) == [("traffic sign", [10.5, 5, 30.5, 25])]
    data = open_dataset(root)
    assert len(data) == 2
    assert data.annotations.is_crowd.tolist() == [False, True, False]
    assert data.annotations.is_ignored.tolist() == [False, False, True]
    assert data.notes[-2:] == ("1 object ignored: ignored", "1 object left out: lane has no box")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (frame(label("car", {"x1": 1, "y1": 2})), "is not x1, y1, x2, y2"),
        (frame({"box2d": BOX}), "a label has no category"),
        ({"labels": []}, "frame 2 has no name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, entry: Any, message: str) -> None:
    content = json.dumps([FRAMES[0], entry])
    root = write(tmp_path, {"det_val.json": content, f"val/{FRAMES[0]['name']}": ""})
    with pytest.raises(DataError, match=message):
        open_dataset(root, "val")
