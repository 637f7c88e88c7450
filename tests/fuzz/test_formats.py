"""The formats of annotation tools: broken text in each, and odd values in those of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.table import FORMATS
from detzoo.data.locate import open_dataset
from detzoo.data.reading import reading_on
from tests.data.formats import (
    test_bdd100k,
    test_coco_files,
    test_crowdhuman,
    test_csv_tables,
    test_cvat,
    test_hugging_face,
    test_label_studio,
    test_labelme,
    test_open_images,
    test_text_labels,
    test_via,
    test_wider_face,
    test_yolo,
)
from tests.data.formats import test_parquet as test_parquet_format
from tests.data.formats.files import write
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import broken_bytes, broken_text, broken_values
from tests.fuzz.test_datasets import use, with_content


@dataclass(frozen=True)
class Case:
    """``file`` of a data set is broken; all ``files`` together are valid."""

    file: str
    files: dict[str, str]


YOLO = {
    **test_yolo.IMAGES_FIRST,
    "labels/train/a.txt": "0 0.4 0.2 0.6 0.2 0.6 0.6\n" + test_yolo.BOX,
    "data.yaml": "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n",
}
TASKS = json.dumps([test_label_studio.task(1, "/data/upload/1/a.jpg", test_label_studio.RESULT)])
DARKNET = {
    "obj.data": "classes = 2\nnames = data/obj.names\ntrain = data/train.txt\n",
    "obj.names": "cat\ndog\n",
    "train.txt": "data/obj_train_data/a.jpg\n",
    "obj_train_data/a.jpg": "",
    "obj_train_data/a.txt": test_yolo.BOX,
}
OPEN_IMAGES = {
    "train-annotations-bbox.csv": test_open_images.BOXES,
    "class-descriptions.csv": test_open_images.CLASSES,
    "train-annotations-human-imagelabels.csv": test_open_images.LABELS,
    "hierarchy.json": json.dumps(test_open_images.HIERARCHY),
    "train/000026e7ee790996.jpg": "",
}
KITTI = {"label_2/a.txt": test_text_labels.KITTI, "image_2/a.png": ""}
VISDRONE = {"annotations/a.txt": test_text_labels.VISDRONE, "images/a.jpg": ""}
DOTA = {"labelTxt/a.txt": test_text_labels.DOTA, "images/a.png": ""}
WIDER_FACE = {
    "wider_face_split/wider_face_train_bbx_gt.txt": test_wider_face.PUBLISHED,
    **{
        f"WIDER_train/images/{line}": ""
        for line in test_wider_face.PUBLISHED.splitlines()
        if line.endswith(".jpg")
    },
}
CROWDHUMAN = {
    "annotation_train.odgt": test_crowdhuman.SAMPLE,
    f"Images/{test_crowdhuman.NAME}.jpg": "",
}
HUGGING_FACE = {
    "metadata.jsonl": test_hugging_face.SAMPLE,
    "README.md": test_hugging_face.CARD,
    "0001.png": "",
    "0002.png": "",
}
FRAMES = {
    "det_train.json": json.dumps(test_bdd100k.FRAMES),
    **{f"train/{frame['name']}": "" for frame in test_bdd100k.FRAMES},
}
PANOPTIC = test_coco_files.content("a.jpg", **test_coco_files.PANOPTIC)
CASES = {
    "yolo": Case("data.yaml", YOLO),
    "yolo labels": Case("labels/train/a.txt", YOLO),
    "darknet": Case("obj.data", DARKNET),
    "darknet list": Case("train.txt", DARKNET),
    "cvat": Case("annotations.xml", {**test_cvat.IMAGES, "annotations.xml": test_cvat.SAMPLE}),
    "labelme": Case("a.json", {"a.json": test_labelme.SAMPLE, "a.jpg": ""}),
    "label studio": Case("x.json", {"x.json": TASKS, "a.jpg": ""}),
    "via": Case("x.json", {"x.json": json.dumps(test_via.PROJECT), "a.jpg": ""}),
    "via table": Case("x.csv", {"x.csv": test_via.table(), "a.jpg": "", "b.jpg": ""}),
    "panoptic": Case("panoptic_train.json", {"panoptic_train.json": PANOPTIC, "train/a.jpg": ""}),
    "csv": Case("t.csv", {"t.csv": test_csv_tables.TENSORFLOW, "a.jpg": ""}),
    "keras": Case("t.csv", {"t.csv": test_csv_tables.KERAS, "a.jpg": "", "b.jpg": ""}),
    "open images": Case("train-annotations-bbox.csv", OPEN_IMAGES),
    "labels of open images": Case("train-annotations-human-imagelabels.csv", OPEN_IMAGES),
    "hierarchy of open images": Case("hierarchy.json", OPEN_IMAGES),
    "kitti": Case("label_2/a.txt", KITTI),
    "visdrone": Case("annotations/a.txt", VISDRONE),
    "dota": Case("labelTxt/a.txt", DOTA),
    "wider face": Case("wider_face_split/wider_face_train_bbx_gt.txt", WIDER_FACE),
    "crowdhuman": Case("annotation_train.odgt", CROWDHUMAN),
    "hugging face": Case("metadata.jsonl", HUGGING_FACE),
    "dataset card": Case("README.md", HUGGING_FACE),
    "bdd100k": Case("det_train.json", FRAMES),
}


OTHERS = {"COCO", "Pascal VOC", "Cityscapes", "Parquet"}  # in test_datasets.py, and below


def test_no_format_is_forgotten(folder: Path) -> None:
    """The first file or folder of each case is recognized as a format of its own."""
    tried = set()
    for name, case in CASES.items():
        root = write(folder / "all" / name, case.files)
        tried.add(next(item.name for item in FORMATS if item.find(root)))
    assert tried | OTHERS == {item.name for item in FORMATS}


JSON = [name for name, case in CASES.items() if case.file.endswith(".json")]


def read_on(root: Path) -> DetectionDataset:
    """As ``detzoo data check`` opens it."""
    with reading_on() as faults:
        data = open_dataset(root, check=False)
    assert all(fault.text.strip() for fault in faults)
    return data


@pytest.fixture(scope="module")
def broken_file(request: pytest.FixtureRequest, folder: Path) -> tuple[Path, Path]:
    """The root of a data set, and the file in it that is broken."""
    case = CASES[request.param]
    root = write(folder / request.param, case.files)
    assert len(use(root)) > 0
    return root, root / case.file


@pytest.mark.parametrize("broken_file", CASES, indirect=True)
@given(data=st.data())
def test_text(rule: Rule, broken_file: tuple[Path, Path], data: st.DataObject) -> None:
    root, file = broken_file
    content = data.draw(broken_text(file.read_text("utf-8")))

    def all_ways() -> None:
        rule.read(use, root)
        rule.read(use, file)
        rule.read(read_on, root)

    with_content(file, content, all_ways)


@pytest.mark.parametrize("broken_file", JSON, indirect=True)
@given(data=st.data())
def test_values(rule: Rule, broken_file: tuple[Path, Path], data: st.DataObject) -> None:
    root, file = broken_file
    content: Any = data.draw(broken_values(json.loads(file.read_text("utf-8"))))

    def both() -> None:
        rule.read(use, root)
        rule.read(read_on, root)

    with_content(file, json.dumps(content).encode(), both)


@given(data=st.data())
def test_parquet(rule: Rule, folder: Path, data: st.DataObject) -> None:
    file = folder / "parquet" / "train.parquet"
    if not file.exists():
        test_parquet_format.write_table(file, test_parquet_format.ROWS)
    content = data.draw(broken_bytes(file.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETZOO_DATA_CACHE", str(folder / "cache"))
        with_content(file, content, lambda: rule.read(use, file) and None)
