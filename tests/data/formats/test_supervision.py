"""The same data, written and read by supervision (https://supervision.roboflow.com)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import supervision
import torch

from detzoo.data.dataset import DetectionDataset
from detzoo.data.locate import open_dataset
from tests.shared import shared

IMAGES = 12


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first images of BCCD, in folders without lists."""
    source = shared("data", "bccd", "BCCD")
    root = tmp_path_factory.mktemp("bccd")
    for folder, suffix in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
        (root / folder).mkdir()
        for file in sorted((source / folder).glob(f"*{suffix}"))[:IMAGES]:
            shutil.copy(file, root / folder)
    return root


def read_by_supervision(root: Path) -> supervision.DetectionDataset:
    return supervision.DetectionDataset.from_pascal_voc(
        str(root / "JPEGImages"), str(root / "Annotations")
    )


def compare(
    ours: DetectionDataset,
    theirs: supervision.DetectionDataset,
    pixels: float,
    shift: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> None:
    assert set(ours.class_names) == set(theirs.classes)
    assert len(ours) == len(theirs) == IMAGES
    index = {Path(ours.path(i)).name: i for i in range(len(ours))}
    for path, _, found in theirs:
        rows = ours.annotations.rows(index[Path(path).name])
        boxes = ours.annotations.boxes[rows]
        corners = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        names = [ours.class_names[label] for label in ours.annotations.labels[rows].tolist()]
        assert names == [theirs.classes[k] for k in found.class_id]
        expected = torch.from_numpy(found.xyxy).double() + torch.tensor(shift)
        torch.testing.assert_close(corners, expected, atol=pixels, rtol=0)


def test_pascal_voc(voc: Path) -> None:
    """supervision counts the last pixel as a part of the box; MMDetection and detzoo do not."""
    compare(open_dataset(voc), read_by_supervision(voc), 0, shift=(0, 0, -1, -1))


def test_yolo(voc: Path, tmp_path: Path) -> None:
    """Written with five decimals: a hundredth of a pixel."""
    theirs = read_by_supervision(voc)
    theirs.as_yolo(
        images_directory_path=str(tmp_path / "images"),
        annotations_directory_path=str(tmp_path / "labels"),
        data_yaml_path=str(tmp_path / "data.yaml"),
    )
    yaml = tmp_path / "data.yaml"
    yaml.write_text(f"{yaml.read_text()}train: images\n")
    compare(open_dataset(yaml), theirs, 0.01)


def test_coco(voc: Path, tmp_path: Path) -> None:
    theirs = read_by_supervision(voc)
    theirs.as_coco(str(tmp_path / "pictures"), str(tmp_path / "labels.json"))
    compare(open_dataset(tmp_path), theirs, 1e-4)
