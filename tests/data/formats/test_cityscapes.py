from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detzoo.data.formats.cityscapes import (
    CITYSCAPES_CLASSES,
    instance_map_of,
    read_cityscapes,
    read_instance_map,
)
from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from tests.data.files import noise
from tests.shared import shared


def write_frame(root: Path, ids: np.ndarray, split: str = "train", name: str = "a_0_0") -> None:
    for kind, suffix, pixels in (
        ("gtFine", "gtFine_instanceIds", ids.astype(np.uint16)),
        ("leftImg8bit", "leftImg8bit", noise(*ids.shape)),
    ):
        folder = root / kind / split / "a"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}_{suffix}.png"), pixels)


@pytest.fixture
def ids() -> np.ndarray:
    ids = np.full((40, 60), 7)
    ids[2:10, 5:25] = 26000
    ids[4:6, 5:10] = 24003  # a person before the car
    ids[20:40, 0:30] = 33  # a group of bicycles
    ids[20:40, 30:60] = 29001  # a caravan is no class
    ids[0, 0] = 3
    return ids


def test_instances_groups_and_what_is_neither(tmp_path: Path, ids: np.ndarray) -> None:
    write_frame(tmp_path, ids)
    data = open_dataset(tmp_path)
    assert data.class_names == CITYSCAPES_CLASSES
    assert data.image_id(0) == "a_0_0"
    assert data.annotations.areas.tolist() == [600, 10, 150]
    sample = data.sample(0, "bitmap")
    names = [data.class_names[label] for label in sample.targets.labels.tolist()]
    assert names == ["person", "car"]
    assert sample.targets.boxes.tolist() == [[5, 4, 10, 6], [5, 2, 25, 10]]
    assert sample.targets.ignored_boxes.tolist() == [[0, 20, 30, 40]]
    masks = sample.targets.masks
    assert masks is not None
    expected = np.stack([ids == 24003, ids == 26000])
    assert np.array_equal(masks.to_bitmaps().bitmaps.numpy(), expected)
    assert Path(instance_map_of(sample.info.path)).is_file()
    assert np.array_equal(read_instance_map(instance_map_of(sample.info.path)), ids)


def test_images_are_not_needed_to_read(tmp_path: Path, ids: np.ndarray) -> None:
    write_frame(tmp_path, ids, "val")
    (tmp_path / "leftImg8bit" / "val" / "a" / "a_0_0_leftImg8bit.png").unlink()
    assert available_splits(tmp_path) == ("val",)
    assert len(read_cityscapes(tmp_path, "val")) == 1
    with pytest.raises(DataError, match="1 of its 1 images are not in the folder"):
        open_dataset(tmp_path, "val")


def test_converted_to_coco(tmp_path: Path, ids: np.ndarray) -> None:
    write_frame(tmp_path, ids)
    raw = open_dataset(tmp_path)
    file = tmp_path / "annotations" / "instancesonly_filtered_gtFine_train.json"
    file.parent.mkdir()
    file.write_text(json.dumps(raw.to_coco()))
    data = open_dataset(tmp_path)
    assert data.source == str(file)
    assert data.class_names == CITYSCAPES_CLASSES
    assert data.path(0) == raw.path(0)
    assert data.targets(0).boxes.equal(raw.targets(0).boxes)
    assert data.targets(0).ignored_boxes.equal(raw.targets(0).ignored_boxes)


def test_what_is_wrong_is_said(tmp_path: Path, ids: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"gtFine/train: holds no <city>/\*_gtFine_instanceIds"):
        read_cityscapes(tmp_path)
    write_frame(tmp_path, ids)
    file = tmp_path / "gtFine" / "train" / "a" / "a_0_0_gtFine_instanceIds.png"
    file.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a_0_0_gtFine_instanceIds\.png: is damaged"):
        read_cityscapes(tmp_path)
    with pytest.raises(DataError, match=r"photo\.jpg: is not at leftImg8bit"):
        instance_map_of("photo.jpg")


def test_real_data() -> None:
    root = shared("data", "cityscapes_mini")
    train, val = read_cityscapes(root, "train"), read_cityscapes(root, "val")
    assert (len(train), len(val)) == (8, 15)
    assert int((~train.annotations.is_crowd).sum()) == 124
    assert int((~val.annotations.is_crowd).sum()) == 431
    assert open_dataset(root).sample(0, "bitmap").image.shape == (1024, 2048, 3)
