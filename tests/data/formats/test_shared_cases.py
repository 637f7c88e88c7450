"""The data sets in ``shared/cases/datasets``: each is read right, or refused for its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detzoo.data.locate import open_dataset
from detzoo.errors import DataError
from tests.shared import shared

# What is refused, and a part of the message.
REFUSED = {
    "seg_flat": "its segmentation cannot be read",
    "seg_odd": "its segmentation cannot be read",
    "rle_size_wh": r"its size is \[64, 48\], but the image is 48 high and 64 wide",
    "bbox_empty_polygon": "its bbox",
    "bbox_missing_polygon": "has no 'bbox'",
    "bbox_null": "its bbox",
    "ann_no_id": "has no 'id'",
    "ann_id_dup": "the id occurs twice",
    "dangling_annotation": "no image has the image_id 77",
    "unknown_category": "no category has the category_id 77",
    "dup_image_entry": "the id 1 occurs twice",
    "no_name_category": r"categories\[0\]: has no 'name'",
    "dup_category_name": "two classes are called 'object'",
    "missing_one_image": "1 of its 2 images are not in the folder",
    "no_images_list": "has no list 'images'",
    "no_categories": "has no list 'categories'",
    "swapped_wh": r"the image is 64 x 48 pixels .* declares 48 x 64",
    "list_of_objects": "holds a JSON list",
    "jsonl": "is not valid JSON",
    "nan_area": "its area nan",
    "utf16": "is not a JSON text file",
    "latin1_names": "is not a JSON text file",
    "voc_difficult_2": r"a\.xml: object 1 \(cat\): difficult is '2' instead of 0 or 1",
    "voc_empty_name": "object 1: has no name",
    "voc_polygon_only": "has no bndbox but a polygon",
    "voc_robndbox": "has no bndbox but a robndbox",
    "voc_size_wrong": "the image is 64 x 48 pixels .* declares 100 x 100",
    "voc_list_dup": "lists 'a' twice",
    "voc_list_missing_xml": "lists 'b', which has no file",
    "voc_one_missing_image": "1 of its 2 images are not in the folder",
    "voc_unknown_encoding": "declares the encoding 'foo'",
    "voc_empty_xml": r"a\.xml: is not valid XML",
    "voc_ampersand": "is not valid XML: line 1, column 141",
    "voc_empty_object_list": "none of its images has an object",
}
COCO_BOXES = [[5, 6, 20, 15], [10, 10, 30, 30]]
VOC_BOXES = [[4, 5, 20, 15]]
# Read as the file has it, for `detzoo data check` to find.
OTHER_BOXES = {
    "xyxy_boxes": [[30, 20, 60, 47], [30, 20, 60, 47]],
    "neg_width": [[40, 20, -10, 10], [40, 20, -10, 10]],
    "out_of_image": [[-20, -20, 200, 200], [-20, -20, 200, 200]],
    "no_annotations": [],
    "voc_swapped_corners": [[24, 20, -20, -15]],
    "voc_classes_txt_order": [*VOC_BOXES, *VOC_BOXES],
}


def check(root: Path, boxes: list[list[int]]) -> None:
    name = root.name
    if name in REFUSED:
        with pytest.raises(DataError, match=REFUSED[name]):
            open_dataset(root)
        return
    data = open_dataset(root)
    assert data.annotations.boxes.tolist() == OTHER_BOXES.get(name, boxes)
    for i in range(len(data)):
        sample = data.sample(i, "bitmap" if data.has_masks else "none")
        assert sample.image.shape == (48, 64, 3)


def test_coco() -> None:
    root = shared("cases", "datasets")
    for name, file in json.loads((root / "index.json").read_text()):
        check(root / name, COCO_BOXES)
        assert (root / name / file).is_file()


def test_voc() -> None:
    root = shared("cases", "datasets")
    for name in json.loads((root / "index_voc.json").read_text()):
        check(root / name, VOC_BOXES)


def test_names_in_chinese_and_japanese() -> None:
    for name in ("voc_gbk", "voc_shift_jis"):
        assert open_dataset(shared("cases", "datasets", name)).class_names == ("\u732b",)


@pytest.mark.parametrize("split", ["long65537", "nine", "mm_long6"])
def test_orientations(split: str) -> None:
    """They are what OpenCV makes of the tag."""
    data = open_dataset(shared("cases", "datasets", "exif_orientation"), split)
    assert data.sample(0).image.shape[:2] == tuple(data.sizes[0].tolist()) == (48, 64)


def test_an_image_that_its_tag_turns() -> None:
    with pytest.raises(DataError, match=r"the image is 48 x 64 pixels .* rotated by its EXIF tag"):
        open_dataset(shared("cases", "datasets", "exif_orientation"), "byte6")


def test_no_folder_is_forgotten() -> None:
    root = shared("cases", "datasets")
    listed = {name for name, _ in json.loads((root / "index.json").read_text())}
    listed |= set(json.loads((root / "index_voc.json").read_text()))
    listed |= {"exif_orientation", "mixed_masks"}  # the latter is test_missing_masks.py's
    assert {folder.name for folder in root.iterdir() if folder.is_dir()} <= listed
