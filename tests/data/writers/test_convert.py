"""What is converted opens as it was, as far as the format can hold it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from detzoo.data.dataset import DetectionDataset
from detzoo.data.locate import available_splits, open_dataset
from detzoo.data.writers import convert
from detzoo.data.writers.yolo import _joined, _outlines
from detzoo.errors import ConfigError, DataError
from detzoo.structures.masks import rasterize
from tests.checks.planted import HEIGHT, WIDTH, Object, box, plant
from tests.shared import shared

SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
FAR = [50, 20, 60, 20, 60, 30, 50, 30]
OBJECTS = [
    box(10, 10, 20, 20, segmentation=[SQUARE]),
    box(10, 10, 50, 20.5, category_id=2, segmentation=[SQUARE, FAR]),
    box(10, 10, 20, 20, image=2, category_id=2, segmentation=[SQUARE]),
    box(0.25, 0, 79.75, 60, image=3, segmentation=[[0.25, 0, 80, 0, 80, 60, 0.25, 60]]),
]


def plain(objects: list[Object]) -> list[Object]:
    return [{k: v for k, v in one.items() if k != "segmentation"} for one in objects]


def by_file(dataset: DetectionDataset) -> dict[str, int]:
    return {os.path.basename(dataset.file_names[i]): i for i in range(len(dataset))}


def same_objects(a: DetectionDataset, b: DetectionDataset, atol: float = 0.0) -> None:
    """Boxes and class names, image by image and in order."""
    assert by_file(a).keys() == by_file(b).keys()
    for name, i in by_file(a).items():
        j = by_file(b)[name]
        assert a.sizes[i].tolist() == b.sizes[j].tolist()
        one, other = a.annotations.rows(i), b.annotations.rows(j)
        torch.testing.assert_close(
            a.annotations.boxes[one], b.annotations.boxes[other], rtol=0, atol=atol
        )
        labels = [
            [data.class_names[k] for k in data.annotations.labels[rows].tolist()]
            for data, rows in ((a, one), (b, other))
        ]
        assert labels[0] == labels[1]


def same_masks(a: DetectionDataset, b: DetectionDataset, pixels: int) -> None:
    """Masks that differ in at most so many pixels each."""
    for name, i in by_file(a).items():
        one, other = (
            data.targets(k, "bitmap").masks for data, k in ((a, i), (b, by_file(b)[name]))
        )
        assert one is not None
        assert other is not None
        differing = (one.to_bitmaps().bitmaps != other.to_bitmaps().bitmaps).sum((1, 2))
        assert (differing <= pixels).all()


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_boxes_return(tmp_path: Path, to: str) -> None:
    data = {
        split: plant(tmp_path / "in", plain(OBJECTS), images=4, split=split, seed=seed).dataset
        for split, seed in (("train", 0), ("val", 10))
    }
    done = convert(data, to, tmp_path / "out")
    assert done.num_images == 8
    renamed = {"images renamed, since another has the same name": 4}
    assert done.changes == (renamed if to == "voc" else {})
    assert available_splits(tmp_path / "out") == ("train", "val")
    for split, dataset in data.items():
        again = open_dataset(tmp_path / "out", split)
        assert again.class_names == ("cat", "dog")
        if to == "voc" and split == "val":
            assert len(again.annotations) == len(dataset.annotations)
            continue
        same_objects(dataset, again, atol=1e-5)
        for i in range(len(again)):
            name = os.path.basename(again.file_names[i])
            original = Path(dataset.path(by_file(dataset)[name]))
            assert Path(again.path(i)).read_bytes() == original.read_bytes()


def test_coco_keeps_everything(tmp_path: Path) -> None:
    crowd = {"size": [60, 80], "counts": [610, 20, 80 * 60 - 630]}
    objects = [
        *OBJECTS,
        box(10, 10, 1, 20, iscrowd=1, segmentation=crowd, area=20),
        box(3, 3, 9, 9, image=2, ignore=1),
    ]
    data = plant(tmp_path / "in", objects, images=3).dataset
    convert({"train": data}, "coco", tmp_path / "out")
    before, after = data.to_coco(), open_dataset(tmp_path / "out").to_coco()
    assert after == before


def test_yolo_keeps_masks(tmp_path: Path) -> None:
    data = plant(tmp_path / "in", OBJECTS, images=3).dataset
    done = convert({"train": data}, "yolo", tmp_path / "out")
    assert done.changes == {}
    again = open_dataset(tmp_path / "out")
    same_masks(data, again, pixels=0)
    content = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert content == {"train": "images/train", "names": {0: "cat", 1: "dog"}}
    # A box would be 5 numbers; the object of two parts is one polygon.
    lines = (tmp_path / "out" / "labels" / "train" / "1.txt").read_text().splitlines()
    assert [len(line.split()) for line in lines] == [1 + 2 * 4, 1 + 2 * (4 + 4 + 2)]


def test_what_yolo_cannot_hold_is_counted(tmp_path: Path) -> None:
    rows = [box(0, 0, 9, 9, iscrowd=1), box(0, 0, 9, 9, ignore=1), box(9, 9, 0, 5)]
    rows += [box(99, 9, 5, 5), box(70, 50, 20, 20), box(70, 50, 10.5, 10)]
    data = plant(tmp_path / "in", rows).dataset
    done = convert({"train": data}, "yolo", tmp_path / "out")
    assert done.changes == {
        "crowds and difficult objects left out: YOLO has no mark for them": 2,
        "boxes left out: without area, or outside the image": 2,
        "boxes clipped to their images": 1,  # half a pixel is rounding
    }
    boxes = open_dataset(tmp_path / "out").annotations.boxes
    torch.testing.assert_close(boxes, torch.tensor([[70, 50, 10, 10.0]] * 2).double())


def test_objects_without_a_mask_are_rectangles_among_polygons(tmp_path: Path) -> None:
    data = plant(tmp_path / "in", [OBJECTS[0], box(5, 6, 7, 8)]).dataset
    done = convert({"train": data}, "yolo", tmp_path / "out")
    assert done.changes == {"objects without a mask written as rectangles": 1}
    again = open_dataset(tmp_path / "out")
    assert again.num_without_mask == 0
    torch.testing.assert_close(again.annotations.boxes, data.annotations.boxes)


def test_run_lengths_become_outlines(tmp_path: Path) -> None:
    columns = [610, 20, *[40, 20] * 19]
    rle = {"size": [60, 80], "counts": [*columns, HEIGHT * WIDTH - sum(columns)]}
    data = plant(tmp_path / "in", [box(10, 10, 20, 20, segmentation=rle)]).dataset
    done = convert({"train": data}, "yolo", tmp_path / "out")
    assert done.changes == {"masks of pixels written as their outlines": 1}
    same_masks(data, open_dataset(tmp_path / "out"), pixels=0)


def test_outlines_of_any_mask() -> None:
    """Blobs in several parts without holes return but for single pixels at their corners."""
    import cv2

    for seed in range(20):
        noise = np.random.default_rng(seed).uniform(size=(40, 50)).astype(np.float32)
        bitmap = (cv2.GaussianBlur(noise, (0, 0), 3) > 0.52).astype(np.uint8)
        contours, _ = cv2.findContours(bitmap, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(bitmap, contours, -1, 1, cv2.FILLED)
        again = rasterize([_joined(_outlines(bitmap))], (40, 50))
        assert (again != bitmap).sum() <= 0.02 * bitmap.sum() + 2


def test_voc_says_what_it_cannot_hold(tmp_path: Path) -> None:
    data = plant(tmp_path / "in", [*OBJECTS, box(0, 0, 9, 9, iscrowd=1)], images=3).dataset
    done = convert({"train": data}, "voc", tmp_path / "out")
    assert done.changes == {
        "crowds written as difficult objects": 1,
        "masks left out: VOC's XML has none": 4,
    }
    assert open_dataset(tmp_path / "out").annotations.is_ignored.tolist() == [
        *[False] * 2, True, *[False] * 2,
    ]  # fmt: skip


def test_names_that_meet(tmp_path: Path) -> None:
    """``a/1.png`` and ``b/1.png`` in one flat folder; ``2.png`` and ``2.PNG`` with one label."""
    data = plant(tmp_path, plain(OBJECTS), images=4).dataset
    folder = tmp_path / "train"
    file = tmp_path / "annotations" / "train.json"
    content = json.loads(file.read_text())
    for image, name in zip(content["images"], ("a_1.png", "a/1.png", "2.png", "2.JPG")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / image["file_name"]).rename(folder / f"{name}.tmp")
        image["file_name"] = name
    for image in content["images"]:
        (folder / f"{image['file_name']}.tmp").rename(folder / image["file_name"])
    file.write_text(json.dumps(content))
    data = open_dataset(tmp_path, "train")
    done = convert({"train": data}, "voc", tmp_path / "voc")
    assert done.changes == {"images renamed, since another has the same name": 2}
    assert len(open_dataset(tmp_path / "voc").annotations) == len(OBJECTS)
    done = convert({"train": data}, "yolo", tmp_path / "yolo")
    assert done.changes == {"images renamed, since another has the same name": 1}
    assert len(open_dataset(tmp_path / "yolo").annotations) == len(OBJECTS)


def test_names_that_lead_elsewhere(tmp_path: Path) -> None:
    data = plant(tmp_path / "in", plain(OBJECTS), images=3).dataset
    file = tmp_path / "in" / "annotations" / "train.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["file_name"] = f"../train/{image['file_name']}"
    file.write_text(json.dumps(content))
    data = open_dataset(tmp_path / "in", "train")
    convert({"train": data}, "coco", tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


def test_links(tmp_path: Path) -> None:
    data = plant(tmp_path / "in", plain(OBJECTS), images=3).dataset
    for link in (False, True):
        out = tmp_path / f"{link}"
        convert({"train": data}, "coco", out, link=link)
        assert os.path.samefile(data.path(0), out / "train" / "1.png") is link


def test_what_is_refused(tmp_path: Path) -> None:
    data = plant(tmp_path / "in", plain(OBJECTS), images=3).dataset
    with pytest.raises(ConfigError, match="none of coco, yolo, voc"):
        convert({"train": data}, "csv", tmp_path / "out")
    with pytest.raises(DataError, match="there already"):
        convert({"train": data}, "coco", tmp_path / "in")
    (tmp_path / "in" / "train" / "1.png").unlink()
    with pytest.raises(DataError, match="not in the folder"):
        convert({"train": data}, "coco", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_real_polygons_return(tmp_path: Path) -> None:
    data = open_dataset(shared("data", "balloon"), "val")
    convert({"val": data}, "yolo", tmp_path / "out", link=True)
    again = open_dataset(tmp_path / "out", "val")
    stored, returned = data.annotations.segmentations, again.annotations.segmentations
    assert stored is not None
    assert returned is not None
    for name, i in by_file(data).items():
        rows = data.annotations.rows(i)
        shift = again.annotations.rows(by_file(again)[name]).start - rows.start
        limit = [data.sizes[i, 1].item(), data.sizes[i, 0].item()]
        for n in range(rows.start, rows.stop):
            (polygon,), (other,) = stored.polygons(n), returned.polygons(n + shift)
            np.testing.assert_allclose(other, polygon.clip(0, limit), atol=1e-4)


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_splits_that_differ_in_their_classes(tmp_path: Path, to: str) -> None:
    """All get the classes of all, under the same ids."""
    train = plant(tmp_path / "a", [box(1, 2, 30, 20)], classes=["cat", "dog"]).dataset
    val = plant(tmp_path / "b", [box(5, 6, 30, 20)], classes=["bird"]).dataset
    convert({"train": train, "val": val}, to, tmp_path / "out")
    read = [open_dataset(tmp_path / "out", split) for split in ("train", "val")]
    assert {one.class_names for one in read} == {("cat", "dog", "bird")}
    assert [one.annotations.labels.tolist() for one in read] == [[0], [2]]
    assert read[0].category_ids == read[1].category_ids
