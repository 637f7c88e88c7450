"""The samples have the form of VIA 1.0.6's and 2.0.12's exports, as in Matterport's balloons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

POLYGON = {"name": "polygon", "all_points_x": [10, 30, 30], "all_points_y": [5, 5, 25]}
SHAPES = [
    POLYGON,
    {"name": "rect", "x": 40, "y": 10, "width": 20, "height": 10},
    {"name": "circle", "cx": 80, "cy": 20, "r": 10},
    {"name": "ellipse", "cx": 20, "cy": 40, "rx": 10, "ry": 5},
    {"name": "point", "cx": 1, "cy": 1},
]
EXPECTED = [[10, 5, 30, 25], [40, 10, 60, 20], [70, 10, 90, 30], [10, 35, 30, 45]]


def regions(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"shape_attributes": shape, "region_attributes": attributes} for shape in SHAPES]


def entry(found: Any) -> dict[str, Any]:
    return {
        "a.jpg1115004": {
            "filename": "a.jpg",
            "size": 1115004,
            "regions": found,
            "file_attributes": {},
        }
    }


VERSION_2 = entry(regions({"class": "cat", "note": "x"}))
VERSION_1 = entry({str(k): region for k, region in enumerate(regions({"name": "cat"}))})
PROJECT = {"_via_settings": {"ui": {}}, "_via_img_metadata": VERSION_2, "_via_attributes": {}}
TICKED = entry(regions({"type": {"dog": False, "cat": True}}))


@pytest.mark.parametrize("content", [VERSION_1, VERSION_2, PROJECT, TICKED])
@pytest.mark.parametrize("place", ["train/via_region_data.json", "train/x.json"])
def test_samples(tmp_path: Path, content: dict[str, Any], place: str) -> None:
    root = write(tmp_path, {place: json.dumps(content), "train/a.jpg": ""})
    assert available_splits(root) == ("train",)
    assert boxes(root) == [("cat", box) for box in EXPECTED]
    data = open_dataset(root)
    assert data.notes == ("1 object left out: point has no area",)
    assert data.num_without_mask == 1  # the rectangle


def test_regions_without_attributes(tmp_path: Path) -> None:
    root = write(tmp_path, {"via.json": json.dumps(entry(regions({}))), "a.jpg": ""})
    data = open_dataset(root)
    assert data.class_names == ("object",)
    assert "regions have no attributes" in data.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            entry(regions({"a": "1", "b": "2"})),
            r"have the attributes a, b. Call the one that is the",
        ),
        (entry([{"region_attributes": {}}]), r"a\.jpg: has a region without shape_attributes"),
        (
            entry(
                [{"shape_attributes": {**POLYGON, "all_points_x": [1]}, "region_attributes": {}}]
            ),
            "all_points_x and all_points_y are not of one length",
        ),
        (
            entry([{"shape_attributes": {"name": "rect", "x": "1"}, "region_attributes": {}}]),
            "region 1: its x is '1' instead of a number",
        ),
        (
            entry([{"shape_attributes": {"name": "star"}, "region_attributes": {}}]),
            "is of the shape 'star'",
        ),
        (
            entry(regions({"class": "cat"}) + regions({})),
            "region 6: has no 'class', which the others have",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: Any, message: str) -> None:
    root = write(tmp_path, {"via.json": json.dumps(content), "a.jpg": ""})
    with pytest.raises(DataError, match=message):
        open_dataset(root)


def table() -> str:
    """The CSV export of VIA 2; version 1 has a # before the header."""
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    lines = [f"#{head}region_attributes"]
    for shape in SHAPES:
        cells = (json.dumps(part).replace('"', '""') for part in (shape, {"class": "cat"}))
        lines.append('a.jpg,1,"{}",5,0,"{}","{}"'.format("{}", *cells))
    return "\n".join([*lines, 'b.jpg,1,"{}",0,0,"{}","{}"'])


def test_a_table(tmp_path: Path) -> None:
    root = write(tmp_path, {"via_region_data.csv": table(), "a.jpg": "", "b.jpg": ""})
    assert boxes(root) == [("cat", box) for box in EXPECTED]
    assert len(open_dataset(root)) == 2
    file = root / "via_region_data.csv"
    file.write_text(file.read_text().replace('""class""', "class", 1))
    with pytest.raises(DataError, match="line 2: its attributes are not valid JSON"):
        open_dataset(file)
