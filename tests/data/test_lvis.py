from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo.data.coco import read_coco
from detzoo.data.locate import available_splits, open_dataset
from detzoo.errors import DataError
from detzoo.evaluate import GroundTruth
from tests.data.files import annotation, write_coco
from tests.shared import shared

CATEGORIES = [
    {"id": 3, "name": "speaker_(stero_equipment)", "frequency": "f"},
    {"id": 7, "name": "acorn", "frequency": "r"},
    {"id": 9, "name": "aerosol_can", "frequency": "c"},
]


def write_lvis(folder: Path, **changes: Any) -> Path:
    """Two images of COCO: one in train2017/, one in val2017/."""
    boxes = [annotation(1, 11, (1, 1, 9, 9), iscrowd=None), annotation(2, 12, (2, 2, 9, 9))]
    write_coco(folder, [(40, 60), (40, 60)], [])
    images = []
    for number, split in ((1, "train2017"), (2, "val2017")):
        name = f"{split}/{number:012}.jpg"
        (folder / split).mkdir()
        shutil.move(folder / "train" / f"{number}.png", folder / name)
        entry = {
            "id": 10 + number,
            "coco_url": f"http://images.cocodataset.org/{name}",
            "height": 40,
            "width": 60,
            "neg_category_ids": [7] if number == 1 else [],
            "not_exhaustive_category_ids": [3, 9] if number == 2 else [],
        }
        images.append({**entry, **changes})
    content = {"images": images, "annotations": boxes, "categories": CATEGORIES}
    file = folder / "annotations" / "lvis_v1_val.json"
    file.write_text(json.dumps(content))
    return file


def test_images_lie_where_cocos_do(tmp_path: Path) -> None:
    write_lvis(tmp_path)
    (tmp_path / "annotations" / "train.json").unlink()
    assert available_splits(tmp_path) == ("val",)
    data = open_dataset(tmp_path, "val")
    assert [data.file_names[i] for i in range(2)] == [
        "train2017/000000000001.jpg",
        "val2017/000000000002.jpg",
    ]
    assert data.sample(0).targets.boxes.tolist() == [[1, 1, 10, 10]]
    assert data.class_names == ("speaker_(stereo_equipment)", "acorn", "aerosol_can")
    # The annotation file alone says as much.
    direct = open_dataset(tmp_path / "annotations" / "lvis_v1_val.json")
    assert direct.image_dir == data.image_dir


def test_old_names_in_one_folder(tmp_path: Path) -> None:
    file = write_lvis(tmp_path, coco_url=None, file_name="COCO_val2014_000000000001.jpg")
    (tmp_path / "val2017" / "000000000002.jpg").unlink()
    data = read_coco(file, tmp_path / "train2017")
    data.check_files()
    assert data.file_names[0] == "000000000001.jpg"


def test_what_was_looked_for_follows_images_and_classes(tmp_path: Path) -> None:
    data = read_coco(write_lvis(tmp_path), tmp_path)
    assert data.federation is not None
    assert [data.federation.absent[i] for i in range(2)] == [[1], []]
    assert [data.federation.partial[i] for i in range(2)] == [[], [0, 2]]
    assert data.federation.frequency == ("f", "r", "c")
    names = ("aerosol_can", "acorn", "bird")
    turned = data.take([1, 0]).select_classes(names, drop_others=True, allow_absent=True)
    assert turned.federation is not None
    assert [turned.federation.partial[i] for i in range(2)] == [[0], []]
    assert [turned.federation.absent[i] for i in range(2)] == [[], [1]]
    assert turned.federation.frequency == ("c", "r", "f")
    # Evaluation sees it, whatever the order of images.
    truth = GroundTruth.of(turned)
    assert truth.federation is not None
    assert truth.image_ids == (11, 12)
    assert truth.federation.absent == ({1}, set())
    assert truth.federation.partial == (set(), {0})
    assert truth.federation.frequency == ("c", "r", "f")


def test_other_files_are_not_federated(tmp_path: Path) -> None:
    data = read_coco(
        write_coco(tmp_path, [(40, 60)], [annotation(1, 1, (1, 1, 9, 9))]), tmp_path / "train"
    )
    assert data.federation is None
    assert "neg_category_ids" not in data.to_coco()["images"][0]
    assert GroundTruth.of(data).federation is None


def test_bad_files(tmp_path: Path) -> None:
    file = write_lvis(tmp_path, neg_category_ids=[4])
    with pytest.raises(DataError, match=r"images\[0\] .*: its neg_category_ids hold 4"):
        read_coco(file, tmp_path)
    content = json.loads(file.read_text())
    content["categories"][1]["frequency"] = "seldom"
    for image in content["images"]:
        image["neg_category_ids"] = []
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"categories\[1\]: its frequency 'seldom' is not one of r"):
        read_coco(file, tmp_path)


def test_real_data() -> None:
    data = open_dataset(shared("data", "lvis_mini"), "val")
    assert (len(data), len(data.annotations), len(data.class_names)) == (65, 675, 1230)
    assert data.federation is not None
    shown = torch.unique(data.annotations.labels)
    assert len(shown) == 142
    for i in range(len(data)):
        rows = data.annotations.rows(i)
        assert not set(data.federation.absent[i]) & set(data.annotations.labels[rows].tolist())
    sample = data.sample(0, "polygon")
    assert sample.targets.masks is not None
    assert len(sample.targets.masks) == len(sample.targets) > 0
