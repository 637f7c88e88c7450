"""Panoptic annotations as training data: objects, masks, and labels of all pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.coco import read_coco_file
from detzoo.data.locate import open_dataset
from detzoo.data.panoptic import label_pixels
from detzoo.data.reading import reading_on
from detzoo.data.union import union
from detzoo.data.writers.convert import convert
from detzoo.errors import DataError
from detzoo.structures import UNLABELED
from tests.panoptic import write_map, write_panoptic_data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_panoptic_data(tmp_path / "data", train=3, val=1)


def edit(root: Path, **changes: object) -> Path:
    """Writes other values into the first segment of the first image."""
    file = root / "annotations/panoptic_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["segments_info"][0].update(changes)
    file.write_text(json.dumps(content))
    return file


def test_things_and_stuff(root: Path) -> None:
    data = open_dataset(root, "train")
    assert data.class_names == ("box", "disk")
    assert data.category_ids == (3, 7)
    assert data.stuff_names == ("sky", "ground")
    assert data.has_masks
    assert data.notes == ()
    assert Path(data.image_dir).name == "train2017"  # the maps have the same names
    sample = data.sample(0, "bitmap")
    targets = sample.targets
    classes = targets.semantic_map
    assert classes is not None
    assert classes.dtype == torch.uint8
    assert classes[0, 0] == 2  # the sky comes after the things
    assert classes[-1, -1] == 3
    assert set(classes.unique().tolist()) <= {0, 1, 2, 3, UNLABELED}
    assert (classes == UNLABELED).any()
    assert targets.masks is not None
    for label, mask in zip(targets.labels.tolist(), targets.masks.to_bitmaps().bitmaps):
        assert (classes[mask > 0] == label).all()


def test_a_model_without_stuff_gets_no_maps(root: Path) -> None:
    data = open_dataset(root, "train").with_stuff(())
    assert data.sample(0).targets.semantic_map is None
    assert data.has_masks


def test_crowds_keep_their_class(root: Path) -> None:
    before = open_dataset(root, "train").sample(0)
    file = root / "annotations/panoptic_train2017.json"
    content = json.loads(file.read_text())
    for segment in content["annotations"][0]["segments_info"]:
        segment["iscrowd"] = int(segment["category_id"] in (3, 7))
    file.write_text(json.dumps(content))
    after = open_dataset(root, "train").sample(0)
    assert len(after.targets) == 0
    assert len(after.targets.ignored_boxes) == len(before.targets)
    assert torch.equal(after.targets.semantic_map, before.targets.semantic_map)  # type: ignore[arg-type]


def test_classes_by_name(root: Path) -> None:
    data = open_dataset(root, "train")
    before = data.sample(0).targets.semantic_map
    chosen = data.select_classes(("disk",), drop_others=True).with_stuff(("road", "ground", "sky"))
    assert chosen.category_ids == (7,)
    after = chosen.sample(0).targets.semantic_map
    assert before is not None
    assert after is not None
    for old, new in ((0, UNLABELED), (1, 0), (2, 3), (3, 2), (UNLABELED, UNLABELED)):
        assert (after[before == old] == new).all()
    with pytest.raises(DataError, match=r"none of the model's classes of stuff .*'road'"):
        data.with_stuff(("road",))
    with pytest.raises(DataError, match="its stuff is not annotated"):
        data.with_stuff(()).with_stuff(("sky",))


def test_some_images_and_joined_sets(root: Path) -> None:
    train, val = open_dataset(root, "train"), open_dataset(root, "val")
    picked = train.take([2, 0])
    assert torch.equal(
        picked.sample(1).targets.semantic_map,  # type: ignore[arg-type]
        train.sample(0).targets.semantic_map,  # type: ignore[arg-type]
    )
    swapped = val.with_stuff(("ground", "sky")).select_classes(("disk", "box"))
    joined = union([train, swapped])
    assert joined.class_names == train.class_names
    assert joined.stuff_names == train.stuff_names
    assert torch.equal(
        joined.sample(3).targets.semantic_map,  # type: ignore[arg-type]
        val.sample(0).targets.semantic_map,  # type: ignore[arg-type]
    )
    assert joined.panoptic is not None
    assert len(joined.panoptic) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "red"}, "its id 'red' is no color of a pixel"),
        ({"id": 0}, "its id 0 is no color"),
        ({"id": 2**24}, "is no color"),
        ({"category_id": 5}, "no category has the category_id 5"),
        ({"category_id": None}, "category_id"),
        ({"area": "large"}, "area"),
        ({"iscrowd": "perhaps"}, "iscrowd"),
    ],
)
def test_malformed_segments(root: Path, changes: dict[str, object], message: str) -> None:
    file = edit(root, **changes)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(root, "train")
    assert str(file) in str(caught.value)
    with reading_on() as faults:
        data = open_dataset(root, "train")
    assert len(data) == 2
    assert data.panoptic is not None
    assert len(data.panoptic) == 2
    assert message.split()[-1] in faults[0].text


def test_segments_without_pixels_are_left_out(root: Path) -> None:
    edit(root, area=0)  # the sky
    classes = open_dataset(root, "train").sample(0).targets.semantic_map
    assert classes is not None
    assert classes[0, 0] == UNLABELED


def test_maps_of_another_size(root: Path) -> None:
    write_map(root / "annotations/panoptic_val2017/1.png", np.zeros((5, 7), np.int32))
    file = root / "annotations/panoptic_val2017.json"
    data = read_without_masks(file)
    with pytest.raises(DataError, match=r"1.png: is 7 x 5 pixels .* its image is 128 x 96"):
        data.sample(0)


def read_without_masks(file: Path) -> DetectionDataset:
    """Without things, whose masks of another size would be refused before."""
    content = json.loads(file.read_text())
    for image in content["annotations"]:
        image["segments_info"] = image["segments_info"][:2]
    file.write_text(json.dumps(content))
    return read_coco_file(file)


def test_an_image_without_an_entry(root: Path) -> None:
    file = root / "annotations/panoptic_train2017.json"
    content = json.loads(file.read_text())
    del content["annotations"][1]
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="image 2 has no entry among the annotations"):
        open_dataset(root, "train")


def test_labels_of_pixels() -> None:
    pixels = np.array([[3, 70_000, 5], [0, 9, 3]], np.int32)
    found = label_pixels(pixels, np.array([70_000, 3]), np.array([4, 0]))
    assert found.tolist() == [[0, 4, UNLABELED], [UNLABELED, UNLABELED, 0]]
    nothing = label_pixels(pixels, np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert (nothing == UNLABELED).all()


def test_what_other_formats_cannot_hold_is_counted(root: Path, tmp_path: Path) -> None:
    converted = convert({"train": open_dataset(root, "train")}, "coco", tmp_path / "out")
    assert converted.changes == {"segments of stuff left out": 6}
