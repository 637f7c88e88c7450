"""Recall of the masks of Occluded and Separated COCO."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as rle

from detzoo.errors import DataError
from detzoo.evaluate import read_ground_truth, read_results
from detzoo.evaluate.listed_masks import read_listed_masks, recall_of_masks
from tests.cli.conftest import Run, assert_refused

SIZE = (40, 60)
NAMES = ("cat", "dog")


def mask(x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
    bitmap = np.zeros(SIZE, np.uint8)
    bitmap[y1:y2, x1:x2] = 1
    code: dict[str, Any] = rle.encode(np.asfortranarray(bitmap))
    counts = code["counts"]
    return {"size": list(SIZE), "counts": counts if isinstance(counts, bytes) else counts.encode()}


def text(code: dict[str, Any]) -> dict[str, Any]:
    return {**code, "counts": code["counts"].decode()}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two images; detections of one with scores around 0.3."""
    images = [
        {"id": k, "file_name": f"{k:012d}.jpg", "height": SIZE[0], "width": SIZE[1]} for k in (1, 2)
    ]
    categories = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
    truth = {"images": images, "categories": categories, "annotations": []}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    found = [
        (7, 0.9, mask(0, 0, 20, 20)),
        (9, 0.29, mask(30, 0, 50, 20)),
        (9, 0.30, mask(30, 20, 50, 40)),
    ]
    entries = [
        {"image_id": 1, "category_id": c, "score": s, "segmentation": text(m), "bbox": [0, 0, 9, 9]}
        for c, s, m in found
    ]
    (tmp_path / "found.json").write_text(json.dumps(entries))
    listed = [
        ("000000000001.jpg", "cat", 1, [0, 0, 20, 20], mask(0, 0, 20, 15)),  # 0.75
        ("000000000001.jpg", "cat", 2, [0, 0, 20, 20], mask(0, 0, 20, 14)),  # below
        ("000000000001.jpg", "dog", 3, [0, 0, 20, 20], mask(0, 0, 20, 20)),  # another class
        ("000000000001.jpg", "dog", 4, [30, 0, 50, 20], mask(30, 0, 50, 20)),  # of a low score
        ("000000000001.jpg", "dog", 5, [30, 20, 50, 40], mask(30, 20, 50, 40)),
        ("000000000002.jpg", "dog", 6, [30, 20, 50, 40], mask(30, 20, 50, 40)),  # nothing there
    ]
    (tmp_path / "occluded_coco.pkl").write_bytes(pickle.dumps(listed))
    return tmp_path


def test_recall(files: Path) -> None:
    truth = read_ground_truth(files / "truth.json")
    results = read_results(files / "found.json", truth)
    listed = read_listed_masks(files / "occluded_coco.pkl")
    assert recall_of_masks(listed, results, truth, NAMES) == pytest.approx(2 / 6)
    assert recall_of_masks(listed, results, truth, NAMES, min_score=0) == pytest.approx(3 / 6)
    assert recall_of_masks(listed, results, truth, NAMES, min_iou=0.7) == pytest.approx(3 / 6)


def test_the_command(detzoo: Run, files: Path) -> None:
    base = ("evaluate", files / "found.json", files / "truth.json", "--json", "m.json")
    outcome = detzoo(*base, "--recall-of", files / "occluded_coco.pkl")
    assert outcome.code == 0, outcome
    assert "recall of 6 masks in occluded_coco.pkl: 0.3333" in outcome.out
    content = json.loads(Path("m.json").read_text())
    assert content["recall_of"] == {"occluded_coco": pytest.approx(1 / 3)}
    assert_refused(detzoo(*base, "--recall-of", "none.pkl"), "none.pkl: no such file")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"a": 1},
        [("a.jpg", "cat", 1, [0, 0, 1, 1])],
        [("a.jpg", "cat", 1, [0, 0, 1, 1], {"size": [2, 2]})],
        [("a.jpg", "cat", 1, [0, 0, 1, 1], {"size": [2, 2], "counts": b"\xff\xff"})],
        [("a.jpg", "cat", 1, [0, 0, 1, 1], {"size": ["a", 2], "counts": b"04"})],
        Evil(),
    ],
)
def test_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"x.pkl"):
        read_listed_masks(path)
    path.write_bytes(pickle.dumps(content)[:-2])
    with pytest.raises(DataError, match=r"x.pkl"):
        read_listed_masks(path)
    assert not Path("pwned").exists()


def test_images_and_masks_that_are_not_there(files: Path) -> None:
    truth = read_ground_truth(files / "truth.json")
    results = read_results(files / "found.json", truth)
    (listed, *_) = read_listed_masks(files / "occluded_coco.pkl")
    other = type(listed)("x.jpg", listed.class_name, listed.mask)
    with pytest.raises(DataError, match=r"has no image x.jpg"):
        recall_of_masks([other], results, truth, NAMES)
    with pytest.raises(DataError, match="no masks"):
        recall_of_masks([listed], [], truth, NAMES)
