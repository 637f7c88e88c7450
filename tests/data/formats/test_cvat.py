"""The sample has the form of https://docs.cvat.ai/docs/other/xml_format, "Annotation"."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from detzoo.structures import BitmapMasks
from tests.data.formats.files import boxes, write

SAMPLE = """\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id>
      <name>segmentation</name>
      <size>2</size>
      <mode>annotation</mode>
      <labels>
        <label><name>tree</name><color>#ff6037</color><type>any</type><attributes></attributes></label>
        <label><name>car</name><type>any</type><attributes></attributes></label>
      </labels>
    </task>
    <dumped>2021-02-22 13:48:28.112200+00:00</dumped>
  </meta>
  <image id="0" name="cam/filename000.jpg" width="100" height="50">
    <tag label="car" source="manual"></tag>
    <box label="car" occluded="1" source="manual" xtl="10.25" ytl="5.00" xbr="30.25" ybr="25.00"
         z_order="0"><attribute name="parked">true</attribute></box>
    <box label="car" occluded="0" source="manual" xtl="40.00" ytl="10.00" xbr="60.00" ybr="20.00"
         rotation="90.00" z_order="0"></box>
    <polygon label="tree" occluded="0" points="70.00,10.00;90.00,10.00;90.00,30.00" z_order="1">
    </polygon>
    <polyline label="tree" occluded="0" points="1.00,1.00;2.00,2.00" z_order="1"></polyline>
    <mask label="tree" source="manual" occluded="0" rle="1, 3, 4" left="2" top="40" width="4"
          height="2" z_order="0"></mask>
  </image>
  <image id="1" name="cam/filename001.jpg" width="100" height="50"></image>
</annotations>
"""
IMAGES = {"images/cam/filename000.jpg": "", "images/cam/filename001.jpg": ""}


def test_the_sample(tmp_path: Path) -> None:
    root = write(tmp_path, {**IMAGES, "annotations.xml": SAMPLE})
    for place in (root, root / "annotations.xml"):
        data = open_dataset(place)
        assert data.class_names == ("tree", "car")
        assert boxes(place) == [
            ("car", [10.25, 5, 30.25, 25]),
            # Turned by a quarter about its center, (50, 15).
            ("car", [45, 5, 55, 25]),
            ("tree", [70, 10, 90, 30]),
            ("tree", [2, 40, 6, 42]),
        ]
        assert len(data) == 2
        assert data.notes == ("1 object left out: polyline has no box or area",)
    # In its box, the mask is .XXX and ....
    mask = data.sample(0, "bitmap").targets.masks
    assert mask is not None
    assert isinstance(mask, BitmapMasks)
    assert mask.bitmaps[3].nonzero().tolist() == [[40, 3], [40, 4], [40, 5]]
    assert data.annotations.areas.tolist()[3] == 3


def test_subsets_of_a_project_are_splits(tmp_path: Path) -> None:
    text = SAMPLE.replace('name="cam/filename000.jpg"', 'name="cam/filename000.jpg" subset="Train"')
    text = text.replace(
        'name="cam/filename001.jpg"', 'name="cam/filename001.jpg" subset="Validation"'
    )
    root = write(tmp_path, {**IMAGES, "annotations.xml": text})
    assert available_splits(root) == ("train", "val")
    assert open_dataset(root, "val").image_id(0) == "filename001"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('xtl="10.25"', 'xtl="left"', r"image 'cam/filename000\.jpg': box 2: its xtl is 'left'"),
        ('xtl="10.25" ', "", "has no xtl"),
        ('rle="1, 3, 4"', 'rle="1, 3"', "do not fill its box of 4 x 2 pixels"),
        ('left="2" top="40"', 'left="98" top="40"', r"4 x 2 pixels at \(98, 40\) reaches beyond"),
        ("70.00,10.00;90", "70.00;90", "is not a polygon"),
        ("70.00,10.00;90", "x,10.00;90", "its points are 'x,10.00"),
        ('box label="car" occluded="1"', 'box label="bus" occluded="1"', "its class 'bus' is not"),
        ("<meta>", "<track></track><meta>", "Export the task as 'CVAT for images 1.1'"),
        ("filename000.jpg", "other.jpg", "1 of its 2 images are not in the folder"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = write(tmp_path, {**IMAGES, "annotations.xml": SAMPLE.replace(old, new, 1)})
    with pytest.raises(DataError, match=message):
        open_dataset(root)
