from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as official

from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.errors import DataError
from tests.data.files import CATEGORIES, annotation, write_coco
from tests.shared import shared

SIZES = [(40, 60), (64, 48), (50, 50)]


def dataset(tmp_path: Path, boxes: list[dict[str, Any]], **changes: Any) -> DetectionDataset:
    return read_coco(write_coco(tmp_path, SIZES, boxes, changes=changes), tmp_path / "train")


def test_boxes_labels_and_ids(tmp_path: Path) -> None:
    data = dataset(
        tmp_path,
        [
            annotation(11, 2, (1.5, 2, 10, 20), category_id=7),
            annotation(5, 1, (0, 0, 60, 40)),
            annotation(12, 2, (3, 4, 5, 6)),
        ],
    )
    assert data.class_names == ("cat", "dog")
    assert data.category_ids == (3, 7)
    assert len(data) == 3
    assert [data.image_id(i) for i in range(3)] == [1, 2, 3]
    assert data.info(1).original_size == (64, 48)
    assert data.info(1).path == str(tmp_path / "train" / "2.png")
    sample = data.sample(1)
    assert sample.image.shape == (64, 48, 3)
    assert sample.targets.boxes.tolist() == [[1.5, 2, 11.5, 22], [3, 4, 8, 10]]
    assert sample.targets.boxes.dtype == torch.float32
    assert sample.targets.labels.tolist() == [1, 0]
    assert sample.targets.masks is None
    empty = data.sample(2).targets
    assert (len(empty), empty.boxes.shape, empty.ignored_boxes.shape) == (0, (0, 4), (0, 4))


def test_crowds_ignored_and_unusable_boxes(tmp_path: Path) -> None:
    code = official.encode(np.asfortranarray(np.eye(40, 60, dtype=np.uint8)))
    code["counts"] = code["counts"].decode()
    data = dataset(
        tmp_path,
        [
            annotation(1, 1, (1, 1, 9, 9), iscrowd=1, segmentation=code),
            annotation(2, 1, (2, 2, 9, 9), ignore=1),
            annotation(3, 1, (3, 3, 0, 9)),
            annotation(4, 1, (100, 3, 9, 9)),
            annotation(5, 1, (5, 5, 9, 9), area=0),
            annotation(6, 1, (6, 6, 9, 9)),
            annotation(7, 2, (0, 0, 0.5, 0.5)),
        ],
    )
    targets = data.targets(0, "bitmap")
    assert targets.boxes.tolist() == [[6, 6, 15, 15]]
    assert targets.ignored_boxes.tolist() == [[1, 1, 10, 10], [2, 2, 11, 11]]
    assert targets.masks is not None
    assert len(targets.masks) == 1
    training = data.for_training()
    # Image 2 shows only an unusable box, but it is annotated; image 3 is not.
    assert [training.image_id(i) for i in range(len(training))] == [1, 2]
    assert training.notes == (
        # Told when the file is opened.
        "1 object ignored, unless the recipe learns them: crowds (iscrowd)",
        "1 object ignored: marked as difficult or ignore",
        "1 image without objects left out of training",
        "2 objects ignored in training: under a pixel wide or high",
        "1 object ignored in training: outside the image",
        "1 object ignored in training: area 0",
    )
    assert len(data.for_training(skip_empty=False)) == 3


def test_images_narrower_than_32_pixels_are_not_trained_on(tmp_path: Path) -> None:
    file = write_coco(
        tmp_path, [(31, 60), (32, 60)], [annotation(n, n, (1, 1, 9, 9)) for n in (1, 2)]
    )
    training = read_coco(file, tmp_path / "train").for_training()
    assert [training.image_id(i) for i in range(len(training))] == [2]
    assert training.notes == ("1 image narrower than 32 pixels left out of training",)


def test_masks_in_each_form(tmp_path: Path) -> None:
    drawn = np.zeros((64, 48), np.uint8)
    drawn[10:20, 5:9] = 1
    code = official.encode(np.asfortranarray(drawn))
    runs = {"size": [64, 48], "counts": [5 * 64 + 10, *[10, 54] * 3, 10, 39 * 64 + 44]}
    triangle, square = [1, 1, 20, 2, 5, 30.5], [2, 2, 8, 2, 8, 8, 2, 8]
    data = dataset(
        tmp_path,
        [
            annotation(1, 1, (1, 1, 20, 30), segmentation=[triangle, square, [1, 2, 3, 4]]),
            annotation(2, 1, (1, 1, 20, 30), segmentation=None),
            annotation(
                3, 2, (5, 10, 4, 10), segmentation={**code, "counts": code["counts"].decode()}
            ),
            annotation(4, 2, (5, 10, 4, 10), segmentation=runs),
        ],
    )
    assert data.has_masks
    polygons = data.targets(0, "polygon").masks
    bitmaps = data.targets(0, "bitmap").masks
    assert polygons is not None
    assert bitmaps is not None
    expected = official.merge(official.frPyObjects([triangle, square], 40, 60))
    assert official.area(expected) == int(bitmaps.to_bitmaps().bitmaps[0].sum())
    assert bitmaps.to_bitmaps().bitmaps[1].sum() == 0
    assert bitmaps.is_missing is not None
    assert bitmaps.is_missing.tolist() == [False, True]
    assert data.num_without_mask == 1
    assert torch.equal(polygons.to_bitmaps().bitmaps, bitmaps.to_bitmaps().bitmaps)
    for form in ("bitmap", "polygon"):  # run lengths have no polygons
        masks = data.targets(1, form).masks  # type: ignore[arg-type]
        assert masks is not None
        for mask in masks.to_bitmaps().bitmaps.numpy():
            np.testing.assert_array_equal(mask, drawn)


def test_data_without_masks_says_so(tmp_path: Path) -> None:
    data = dataset(tmp_path, [annotation(1, 1, (1, 1, 9, 9), segmentation=None)])
    assert not data.has_masks
    with pytest.raises(DataError, match=r"train\.json: has no masks, and the model needs them"):
        data.targets(0, "bitmap")


def test_what_may_be_missing(tmp_path: Path) -> None:
    triangle = [[1, 1, 20, 2, 5, 30]]
    data = dataset(
        tmp_path,
        [
            annotation(1, 1, (1, 1, 9, 5), area=None, iscrowd=None, segmentation=None),
            annotation(2, 1, (1, 1, 9, 5), area=None, segmentation=triangle),
        ],
        images=[{"id": 1, "file_name": "1.png"}],
    )
    assert data.sizes.tolist() == [[40, 60]]  # read from the image
    mask_area = official.area(official.merge(official.frPyObjects(triangle, 40, 60)))
    assert data.annotations.areas.tolist() == [45, mask_area]


def test_image_ids_may_be_text(tmp_path: Path) -> None:
    data = dataset(
        tmp_path,
        [annotation(1, 1, (1, 1, 9, 9), image_id="b")],
        images=[
            {"id": "a", "file_name": "1.png", "height": 40, "width": 60},
            {"id": "b", "file_name": "2.png", "height": 64, "width": 48},
        ],
    )
    assert [data.image_id(i) for i in range(2)] == ["a", "b"]
    assert [len(data.targets(i)) for i in range(2)] == [0, 1]
    assert data.to_coco()["annotations"][0]["image_id"] == "b"


def test_ground_truth_keeps_the_numbers_of_the_file() -> None:
    folder = shared("data", "coco_mini")
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    truth = read_coco(file, folder / "val2017").to_coco()
    place = {image["id"]: i for i, image in enumerate(content["images"])}
    expected = sorted(content["annotations"], key=lambda item: place[item["image_id"]])
    assert len(truth["annotations"]) == len(expected) == 1692
    crowds = 0
    for ours, theirs in zip(truth["annotations"], expected):
        for key in ("id", "image_id", "category_id", "bbox", "area", "iscrowd"):
            assert ours[key] == theirs[key]
        if theirs["iscrowd"]:
            crowds += 1
            code = official.frPyObjects(theirs["segmentation"], *theirs["segmentation"]["size"])
            assert ours["segmentation"]["counts"] == code["counts"].decode()
            assert ours["segmentation"]["size"] == theirs["segmentation"]["size"]
        else:
            assert ours["segmentation"] == theirs["segmentation"]
    assert crowds == 20
    for key in ("id", "file_name", "height", "width"):
        assert [i[key] for i in truth["images"]] == [i[key] for i in content["images"]]
    names = [(c["id"], c["name"]) for c in content["categories"]]
    assert [(c["id"], c["name"]) for c in truth["categories"]] == names


def test_roboflow_group_is_not_a_class(tmp_path: Path) -> None:
    group = {"id": 0, "name": "cells", "supercategory": "none"}
    classes = [{**entry, "supercategory": "cells"} for entry in CATEGORIES]
    box = annotation(1, 1, (1, 1, 9, 9))
    assert dataset(tmp_path, [box], categories=[group, *classes]).class_names == ("cat", "dog")
    used = annotation(2, 1, (1, 1, 9, 9), category_id=0)
    names = dataset(tmp_path, [box, used], categories=[group, *classes]).class_names
    assert names == ("cells", "cat", "dog")


GOOD = annotation(1, 1, (1, 1, 9, 9))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"category_id": 4}, r"annotation with id 1: no category has the category_id 4 .*3, 7"),
        ({"category_id": "x"}, r"annotation with id 1: no category has the category_id 'x'"),
        (
            {"category_id": True},
            r"annotation with id 1: its category_id True is neither an integer",
        ),
        ({"image_id": 9}, r"annotation with id 1: no image has the image_id 9"),
        ({"image_id": [1]}, r"annotation with id 1: its image_id \[1\] is neither"),
        ({"id": 1.5}, r"annotations\[1\]: its id 1.5 is neither an integer nor text"),
        ({"bbox": [1, 2, 3]}, r"id 1: its bbox \[1, 2, 3\] is not a list of four numbers"),
        ({"bbox": [1, 2, float("nan"), 3]}, r"id 1: its bbox .* is not a list of four"),
        ({"bbox": [1, 2, "3 ft", 4]}, r"id 1: its bbox .* is not a list of four"),
        ({"bbox": [1, 2, 1e30, 4]}, r"id 1: its bbox .* is not a list of four"),
        ({"bbox": None}, r"id 1: has no 'bbox'"),
        ({"area": "big"}, r"id 1: its area 'big' is not a finite number"),
        ({"area": float("inf")}, r"id 1: its area inf is not a finite number"),
        ({"iscrowd": 2}, r"id 1: its iscrowd 2 is neither 0 nor 1"),
        ({"segmentation": "x"}, r"id 1: its segmentation cannot be read \(it is 'x'\)"),
        ({"segmentation": [[1, 2, 3]]}, r"id 1: .*\[1, 2, 3\] is not a polygon of points x, y"),
        ({"segmentation": [[1, 2, 3, None, 5, 6]]}, r"id 1: .* is not a polygon of points"),
        ({"segmentation": [[1, 2, 3, "4 ft", 5, 6]]}, r"id 1: .* is not a polygon of points"),
        ({"segmentation": [[1, 2, 3, 1e7, 5, 6]]}, r"id 1: .* has points far beyond any image"),
        ({"segmentation": [[0, 0, 9e5, 0, 1, 1] * 9]}, r"id 1: .* outline is \d+ pixels long"),
        ({"segmentation": [[1, 2, 3, float("nan"), 5, 6]]}, r"id 1: .* is not a polygon of points"),
        ({"segmentation": [[1, 2, 3, [4], 5, 6]]}, r"id 1: .* is not a polygon of points"),
        ({"segmentation": [[1, 2, 3, 10**400, 5, 6]]}, r"id 1: .* is not a polygon of points"),
        ({"segmentation": [1, 1, 9, 1, 9, 9]}, r"id 1: .*1 is not a polygon of points x, y"),
        (
            {"segmentation": {"size": [60, 40], "counts": "1"}},
            r"id 1: .*its size is \[60, 40\], but the image is 40 high and 60 wide",
        ),
        ({"segmentation": {"size": [40, 60], "counts": [7]}}, r"id 1: .*cover 7 pixels of 2400"),
        ({"segmentation": {"size": [40, 60], "counts": ["x"]}}, r"id 1: .*counts are \['x'\]"),
        ({"segmentation": {"size": [40, 60], "counts": 7}}, r"id 1: .*its counts are 7"),
        ({"segmentation": {"size": [40, 60]}}, r"id 1: .*its counts are None"),
    ],
)
def test_bad_annotations(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=r"train\.json: " + ".*" + message):
        dataset(
            tmp_path,
            [
                annotation(2, 1, (1, 1, 9, 9)),
                annotation(1, 1, (1, 1, 9, 9), **bad),
            ],
        )


IMAGE = {"id": 1, "file_name": "1.png", "height": 40, "width": 60}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [GOOD, GOOD]}, r"annotation with id 1: the id occurs twice"),
        ({"annotations": [7]}, r"annotations\[0\]: is 7 instead of a JSON object"),
        ({"annotations": None}, r"has no list 'annotations', so it is not a COCO annotation file"),
        ({"images": [IMAGE, IMAGE]}, r"images\[1\]: the id 1 occurs twice"),
        ({"images": []}, r"lists no images"),
        (
            {"images": [IMAGE | {"width": 6.5}]},
            r"images\[0\] \(id 1\): width 6.5 and height 40 are",
        ),
        ({"images": [IMAGE | {"height": -4}]}, r"images\[0\] \(id 1\): width 60 and height -4 are"),
        ({"images": [IMAGE | {"height": 2**64}]}, r"images\[0\] .*: width 60 .* too large for"),
        ({"images": [{"id": 1}]}, r"images\[0\] \(id 1\): has no 'file_name'"),
        ({"images": [IMAGE | {"file_name": 3}]}, r"images\[0\] \(id 1\): its file_name 3"),
        ({"images": [IMAGE | {"id": 1.5}]}, r"images\[0\]: its id 1.5 is neither"),
        ({"categories": []}, r"categories: there is no class at all"),
        ({"categories": [{"id": 3, "name": " "}]}, r"categories: a class has an empty name"),
        ({"categories": [{"id": 3}]}, r"categories\[0\]: has no 'name'"),
        (
            {"categories": [{"id": 3, "name": []}]},
            r"categories\[0\] \(id 3\): its name \[\] is not",
        ),
        ({"categories": [{"id": None, "name": "a"}]}, r"categories\[0\]: its id None is neither"),
        (
            {"categories": [{"id": 3, "name": "a"}, {"id": 4, "name": "a"}]},
            r"categories: two classes are called 'a'",
        ),
        (
            {"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]},
            r"categories\[1\]: the id 3 is that of 'a' too",
        ),
    ],
)
def test_bad_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=r"train\.json: " + message):
        dataset(tmp_path, [GOOD], **changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [\n{"id": 1,,', r"is not valid JSON: line 2, column 10: "),
        (b"", r"is not valid JSON: line 1"),
        (b"[]", r"holds a JSON list instead of an object .* Is it a file of detections\?"),
        (b"\xff\xfe\x00", r"is not a JSON text file"),
    ],
)
def test_files_that_are_not_json(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json: " + message):
        read_coco(file, tmp_path)


def test_missing_annotation_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.json: no such file"):
        read_coco(tmp_path / "a.json", tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_coco(tmp_path, tmp_path)
