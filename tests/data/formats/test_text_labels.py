"""Samples in the form of published specifications and development kits; images of 100 x 50."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.formats.files import boxes, write

# https://github.com/VisDrone/VisDrone2018-DET-toolkit: left, top, width, height, score, category,
# truncation, occlusion; some files end lines with a comma. Category 4 is car, 1 pedestrian.
VISDRONE = (
    "10,5,20,10,1,4,0,0\n0,0,9,9,0,0,0,0\n40,20,5,12,1,1,1,2,\n60,5,9,9,1,11,0,0\n"
    "70,5,9,9,0,4,0,0\n"
)
# readme.txt of KITTI's development kit: type, truncated, occluded, alpha, left, top, right, bottom,
# height, width, length, x, y, z, rotation.
KITTI = (
    "Car 0.88 3 -0.69 0.00 12.12 40.70 34.13 1.60 1.57 3.23 -2.70 1.74 3.68 -1.29\n"
    "Person_sitting 0.00 1 2.04 50.5 10 60.25 30 1.86 0.60 2.02 4.59 1.32 45.84 1.94\n"
    "DontCare -1 -1 -10 70.00 5.00 99.00 20.00 -1 -1 -1 -1000 -1000 -1000 -10\n"
)
# https://captain-whu.github.io/DOTA/dataset.html: four corners, class, difficult.
DOTA = (
    "imagesource:GoogleEarth\ngsd:0.146343590398\n"
    "20.0 5.0 30.0 15.0 20.0 25.0 10.0 15.0 small-vehicle 0\n"
    "50.0 10.0 70.0 10.0 70.0 20.0 50.0 20.0 plane 1\n"
)


def visdrone(split: str = "train") -> dict[str, str]:
    root = f"VisDrone2019-DET-{split}"
    return {f"{root}/annotations/0000001_1.txt": VISDRONE, f"{root}/images/0000001_1.jpg": ""}


def test_visdrone(tmp_path: Path) -> None:
    root = write(tmp_path, {**visdrone(), **visdrone("val")})
    assert available_splits(root) == ("train", "val")
    assert available_splits(root / "VisDrone2019-DET-val") == ("val",)
    assert boxes(root, "val") == [("car", [10, 5, 30, 15]), ("pedestrian", [40, 20, 45, 32])]
    data = open_dataset(root)
    assert len(data.class_names) == 10
    assert data.class_names[0] == "pedestrian"
    assert data.notes == (
        "1 object ignored: ignored region",
        "1 object ignored: score 0",
        "1 object left out: other vehicles (category 11)",
    )
    # A region in which no class counts is one for each class.
    ignored = data.targets(0).ignored_boxes.tolist()
    assert ignored.count([0, 0, 9, 9]) == 10
    assert ignored.count([70, 5, 79, 14]) == 1


def test_kitti(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "training/label_2/000000.txt": KITTI,
            "training/image_2/000000.png": "",
            "training/image_2/000001.png": "",
            "testing/image_2/000000.png": "",
        },
    )
    assert available_splits(root) == ("train",)
    expected = [("Car", [0, 12.12, 40.7, 34.13]), ("Person_sitting", [50.5, 10, 60.25, 30])]
    assert boxes(root) == boxes(root / "training") == expected
    data = open_dataset(root)
    assert data.class_names == ("Car", "Person_sitting")
    assert data.targets(0).ignored_boxes.tolist() == [[70, 5, 99, 20]] * 2
    assert data.notes == (
        "1 image without a file of labels left out",
        "1 object ignored: DontCare",
    )


@pytest.mark.parametrize("labels", ["labelTxt", "labelTxt-v1.5/DOTA-v1.5_train"])
def test_dota(tmp_path: Path, labels: str) -> None:
    root = write(tmp_path, {f"train/{labels}/P0001.txt": DOTA, "train/images/P0001.png": ""})
    if labels != "labelTxt":
        root.joinpath("train", labels).rename(root / "train" / "labelTxt-v1.5" / "labelTxt")
    assert available_splits(root) == ("train",)
    assert boxes(root) == [("small-vehicle", [10, 5, 30, 25])]
    data = open_dataset(root)
    assert data.class_names == ("plane", "small-vehicle")
    assert data.targets(0).ignored_boxes.tolist() == [[50, 10, 70, 20]]
    assert data.notes == (
        "oriented boxes are taken as the upright boxes around them",
        "1 object ignored: difficult",
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"annotations/a.txt": VISDRONE + "1,2,3\n", "images/a.jpg": ""},
            r"a\.txt: line 6: holds 3 numbers instead of 8",
        ),
        (
            {"annotations/a.txt": VISDRONE + "1,2,3,4,1,12,0,0\n", "images/a.jpg": ""},
            r"a\.txt: line 6: the category 12 is not one of 0 to 11",
        ),
        (
            {"annotations/a.txt": VISDRONE, "images/b.jpg": ""},
            r"a\.txt: its image is not in .*images",
        ),
        ({"annotations/a.txt": VISDRONE}, "there is no folder of images beside it"),
        (
            {"training/label_2/a.txt": KITTI + "Car 1 2\n", "training/image_2/a.png": ""},
            r"a\.txt: line 4: holds 3 columns instead of 15",
        ),
        (
            {"labelTxt/a.txt": DOTA + "1 2 3 4 5 6 x 8 plane 0\n", "images/a.png": ""},
            r"a\.txt: line 5: .* are not numbers",
        ),
        (
            {
                "train/labelTxt-v1.0/labelTxt/a.txt": DOTA,
                "train/labelTxt-v1.5/labelTxt/a.txt": DOTA,
                "train/images/a.png": "",
            },
            "is one of 2 folders of labels for the same images",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: Mapping[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write(tmp_path, files))
