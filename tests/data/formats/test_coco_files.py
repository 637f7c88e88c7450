"""Files in COCO's format as projects publish them; the reader itself is tested in test_coco.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from detzoo.structures import BitmapMasks
from tests.data.files import CATEGORIES, annotation
from tests.data.formats.files import boxes, write

BOX = ("cat", [10, 5, 30, 25])


def content(*names: str, **changes: Any) -> str:
    images = [
        {"id": k, "file_name": name, "width": 100, "height": 50} for k, name in enumerate(names, 1)
    ]
    objects = [annotation(1, 1, (10, 5, 20, 20))]
    entry = {"images": images, "annotations": objects, "categories": CATEGORIES}
    return json.dumps({**entry, **changes})


@pytest.mark.parametrize(
    ("file", "name", "image"),
    [
        ("annotations.json", "a.jpg", "a.jpg"),
        ("labels.json", "a.jpg", "data/a.jpg"),  # FiftyOne
        ("result.json", "images/abc-a.jpg", "images/abc-a.jpg"),  # Label Studio
        ("annotations/instances_default.json", "cam/a.jpg", "images/default/cam/a.jpg"),  # CVAT
        ("annotations/instances_Train.json", "a.jpg", "images/Train/a.jpg"),
        ("annotations/custom_train.json", "a.jpg", "train2017/a.jpg"),
        ("train/annotations.json", "a.jpg", "train/images/a.jpg"),
        ("train/train.json", "a.jpg", "train/images/a.jpg"),
        ("ann/my data (final).json", "a.jpg", "img/a.jpg"),
        ("annotation/train.json", "a.jpg", "images/a.jpg"),
        ("labels/train.json", "a.jpg", "images/train/a.jpg"),
        ("annotations/train.json", "images/train/a.jpg", "images/train/a.jpg"),
        ("annotations/train.json", "images\\train\\a.jpg", "images/train/a.jpg"),
        ("annotations/train.json", "/home/me/set/train/a.jpg", "train/a.jpg"),
        ("annotations/train.json", "./a.jpg", "images/a.jpg"),
    ],
)
def test_images_are_where_the_first_one_is(
    tmp_path: Path, file: str, name: str, image: str
) -> None:
    root = write(tmp_path, {file: content(name), image: ""})
    assert available_splits(root) == ("train",)
    assert boxes(root) == [BOX]


def test_what_is_called_otherwise_is_said(tmp_path: Path) -> None:
    root = write(
        tmp_path, {"train.json": content("A.JPG", "my%20b.jpg"), "x/a.jpg": "", "x/my b.jpg": ""}
    )
    data = open_dataset(root)
    assert [data.file_names[i] for i in range(2)] == ["a.jpg", "my b.jpg"]
    assert data.notes == (
        "2 images are called otherwise than in the annotations: 'A.JPG' is 'a.jpg'",
    )


def test_no_two_names_mean_one_file(tmp_path: Path) -> None:
    root = write(tmp_path, {"train.json": content("s/a.jpg", "t/a.jpg"), "train/a.jpg": ""})
    with pytest.raises(DataError, match="1 of its 2 images are not in the folder"):
        open_dataset(root)


def test_images_of_other_splits_are_not_taken(tmp_path: Path) -> None:
    root = write(tmp_path, {"train.json": content("a.jpg"), "val/a.jpg": ""})
    with pytest.raises(DataError, match="no such folder"):
        open_dataset(root)


def test_several_files_for_a_split(tmp_path: Path) -> None:
    files = {"a_train.json": content("a.jpg"), "b_train.json": content("a.jpg"), "a.jpg": ""}
    root = write(tmp_path, files)
    with pytest.raises(
        DataError, match=r"one of 2 files of annotations for the same split \(.*a_tr"
    ):
        open_dataset(root)
    # A name that only they have goes before others.
    write(root, {"instances_train.json": content("a.jpg")})
    assert boxes(root) == [BOX]


def test_several_data_sets_are_not_guessed_between(tmp_path: Path) -> None:
    files = {"x/train.json": content("a.jpg"), "x/a.jpg": "", "y/a.jpg": ""}
    root = write(tmp_path, {**files, "y/annotations/instances_train2017.json": content("a.jpg")})
    with pytest.raises(DataError, match="one of 2 files of annotations"):
        open_dataset(root)
    assert boxes(root / "x") == boxes(root / "y") == [BOX]


def test_the_newer_lvis(tmp_path: Path) -> None:
    files = {f"annotations/lvis_{v}_val.json": content("a.jpg") for v in ("v0.5", "v1")}
    root = write(tmp_path, {**files, "annotations/lvis_v1_val_x.json": "{}", "val2017/a.jpg": ""})
    assert Path(open_dataset(root, "val").source).name == "lvis_v1_val.json"


def test_objects365(tmp_path: Path) -> None:
    """Names as in zhiyuan_objv2_train.json: "images/v1/patch8/objects365_v1_00420917.jpg"."""
    names = ("images/v1/patch8/objects365_v1_1.jpg", "images/v2/patch40/objects365_v2_2.jpg")
    objects = [annotation(1, 1, (10, 5, 20, 20), isfake=0, isreflected=0, segmentation=None)]
    files = {
        "zhiyuan_objv2_train.json": content(*names, annotations=objects),
        "train/patch8/objects365_v1_1.jpg": "",
        "train/patch40/objects365_v2_2.jpg": "",
    }
    assert boxes(write(tmp_path, files)) == [BOX]


def test_boxes_of_keypoints(tmp_path: Path) -> None:
    """https://cocodataset.org/#format-data, 2."""
    person = [{"id": 3, "name": "person", "keypoints": ["nose"], "skeleton": []}]
    objects = [annotation(1, 1, (10, 5, 20, 20), keypoints=[12, 9, 2], num_keypoints=1)]
    text = content("a.jpg", annotations=objects, categories=person)
    files = {"annotations/person_keypoints_train2017.json": text, "train2017/a.jpg": ""}
    assert boxes(write(tmp_path, files)) == [("person", BOX[1])]


PANOPTIC = {
    "annotations": [
        {
            "image_id": 1,
            "file_name": "a.png",
            "segments_info": [
                {"id": 66051, "category_id": 3, "iscrowd": 0, "bbox": [10, 5, 20, 20], "area": 400},
                {"id": 7, "category_id": 3, "iscrowd": 1, "bbox": [60, 5, 20, 20], "area": 400},
                {"id": 9, "category_id": 200, "iscrowd": 0, "bbox": [0, 0, 100, 50], "area": 4200},
            ],
        }
    ],
    "categories": [
        {"id": 3, "name": "cat", "isthing": 1, "supercategory": "animal"},
        {"id": 200, "name": "rug", "isthing": 0, "supercategory": "floor"},
    ],
}


def test_things_of_panoptic_annotations(tmp_path: Path) -> None:
    """https://cocodataset.org/#format-data, 4: ids are R + G * 256 + B * 256 ** 2."""
    name = "annotations/panoptic_train2017"
    root = write(tmp_path, {f"{name}.json": content("a.jpg", **PANOPTIC), "train2017/a.jpg": ""})
    data = open_dataset(root)
    assert not data.has_masks
    assert data.class_names == ("cat",)
    assert boxes(root) == [BOX]
    assert data.annotations.is_crowd.tolist() == [False, True]
    assert data.notes[0] == "1 segment of stuff left out"
    assert "boxes without masks" in data.notes[1]
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[:] = (0, 0, 9)
    pixels[5:25, 10:30] = (1, 2, 3)  # blue, green, red: 3 + 2 * 256 + 65536
    pixels[5:25, 60:80] = (0, 0, 7)
    (root / name).mkdir()
    cv2.imwrite(str(root / name / "a.png"), pixels)
    data = open_dataset(root)
    masks = data.sample(0, "bitmap").targets.masks
    assert isinstance(masks, BitmapMasks)
    assert masks.bitmaps[0].sum() == masks.bitmaps[0, 5:25, 10:30].sum() == 400
    assert data.annotations.segmentations is not None
    assert data.annotations.segmentations.is_there.all()
    assert data.sample(0, "bitmap").targets.boxes.tolist() == [BOX[1]]
