from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detzoo.data.dataset import DetectionDataset
from detzoo.data.locate import open_dataset
from detzoo.data.reading import reading_on
from detzoo.evaluate import read_ground_truth
from tests.data.files import annotation, voc_object, write_coco, write_voc
from tests.data.formats.test_cityscapes import write_frame
from tests.data.test_lvis import write_lvis
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import broken_bytes, broken_text, broken_values

RUNS = {"size": [40, 60], "counts": [60, 40, 2300]}


def use(*arguments: Any) -> DetectionDataset:
    """Opens a data set and asks it for all it can tell."""
    dataset = open_dataset(*arguments)
    for i in range(len(dataset)):
        dataset.sample(i, masks="bitmap" if dataset.has_masks else "none")
    dataset.to_coco()
    return dataset


@pytest.fixture(scope="module")
def coco(folder: Path) -> Path:
    objects = [
        annotation(1, 1, (5, 5, 20, 20)),
        annotation(2, 1, (1, 2, 30, 20), segmentation=RUNS, iscrowd=1),
        annotation(3, 2, (5, 5, 20, 20), category_id=7),
    ]
    return write_coco(folder / "coco", [(40, 60), (40, 60)], objects)


@pytest.fixture(scope="module")
def lvis(folder: Path) -> Path:
    return write_lvis(folder / "lvis")


@pytest.fixture(scope="module")
def voc(folder: Path) -> Path:
    objects = voc_object("cat", (5, 5, 20, 20)) + voc_object(
        "dog", (1, 1, 60, 40), "<difficult>1</difficult>"
    )
    return write_voc(folder / "voc", {"a": objects, "b": ""}, {"train": ["a", "b"]})


@pytest.fixture(scope="module")
def cityscapes(folder: Path) -> Path:
    ids = np.full((40, 60), 7)
    ids[2:10, 5:25] = 26000
    write_frame(folder / "cityscapes", ids)
    return next((folder / "cityscapes").rglob("*instanceIds.png"))


def with_content(file: Path, content: bytes, use: Callable[[], None]) -> None:
    """Calls ``use`` while ``file`` holds ``content``."""
    valid = file.read_bytes()
    file.write_bytes(content)
    try:
        use()
    finally:
        file.write_bytes(valid)


def test_what_is_tried_is_valid_at_first(
    coco: Path, lvis: Path, voc: Path, cityscapes: Path, folder: Path
) -> None:
    for source in (coco, lvis, voc, folder / "cityscapes"):
        assert len(use(source)) > 0


@given(data=st.data())
def test_coco(rule: Rule, coco: Path, data: st.DataObject) -> None:
    content = data.draw(broken_values(json.loads(coco.read_text())))

    def all_ways() -> None:
        rule.read(use, coco)
        rule.read(read_ground_truth, coco)
        with reading_on():
            rule.read(open_dataset, coco)

    with_content(coco, json.dumps(content).encode(), all_ways)


@given(data=st.data())
def test_text_of_coco(rule: Rule, coco: Path, data: st.DataObject) -> None:
    content = data.draw(broken_text(coco.read_text()))
    with_content(coco, content, lambda: rule.read(use, coco) and None)


@given(data=st.data())
def test_lvis(rule: Rule, lvis: Path, data: st.DataObject) -> None:
    content = data.draw(broken_values(json.loads(lvis.read_text())))

    def both() -> None:
        rule.read(use, lvis)
        rule.read(read_ground_truth, lvis)

    with_content(lvis, json.dumps(content).encode(), both)


@pytest.mark.parametrize("name", ["Annotations/a.xml", "ImageSets/Main/train.txt"])
@given(data=st.data())
def test_voc(rule: Rule, voc: Path, name: str, data: st.DataObject) -> None:
    content = data.draw(broken_text((voc / name).read_text()))

    def both() -> None:
        rule.read(use, voc)
        with reading_on():
            rule.read(open_dataset, voc)

    with_content(voc / name, content, both)


_NUMBERS = ["", "x", "-1", "0", "1e400", "nan", "inf", "9" * 400, "2" * 20, "1.5", "1_0", "\u0663"]


@given(data=st.data())
def test_numbers_of_voc(rule: Rule, voc: Path, data: st.DataObject) -> None:
    file = voc / "Annotations" / "a.xml"
    old = data.draw(st.sampled_from(["60<", "40<", "5<", "20<", "1<", "cat<", "3<"]))
    content = file.read_text().replace(old, data.draw(st.sampled_from(_NUMBERS)) + "<")
    with_content(file, content.encode(), lambda: rule.read(use, voc) and None)


@given(data=st.data())
def test_cityscapes(rule: Rule, cityscapes: Path, folder: Path, data: st.DataObject) -> None:
    content = data.draw(broken_bytes(cityscapes.read_bytes()))
    with_content(cityscapes, content, lambda: rule.read(use, folder / "cityscapes") and None)


@given(ids=st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=6), colors=st.booleans())
def test_ids_of_cityscapes(
    rule: Rule, cityscapes: Path, folder: Path, ids: list[int], colors: bool
) -> None:
    shape = (len(ids), 1, 3) if colors else (len(ids), 1)
    map_ = np.broadcast_to(np.array(ids, np.uint16).reshape(-1, *[1] * (len(shape) - 1)), shape)
    content = cv2.imencode(".png", np.ascontiguousarray(map_))[1].tobytes()
    with_content(cityscapes, content, lambda: rule.read(use, folder / "cityscapes") and None)
