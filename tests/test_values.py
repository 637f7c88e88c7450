from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detzoo.data.coco import read_coco
from detzoo.data.dataset import DetectionDataset
from detzoo.data.proposals import read_proposals, write_proposals
from detzoo.errors import DataError
from detzoo.evaluate import CocoEvaluator, GroundTruth, read_ground_truth, read_results
from detzoo.evaluate.results import to_coco
from detzoo.values import as_integer, as_number, read_flag, read_size
from tests.data.files import annotation, write_coco

SIZES = [(40, 60), (40, 60)]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        (2.5, 2.5),
        ("2.5", 2.5),
        (" -3 ", -3),
        ("+.5e1", 5),
        ("7.", 7),
        (np.float64(2), 2),
        *[(odd, None) for odd in ("", "x", "nan", "inf", "1_0", "\u0663", "1 2", "1e400", "1,5")],
        *[(odd, None) for odd in (None, True, [1], {}, math.nan, math.inf, 10**400)],
    ],
)
def test_numbers(value: Any, number: float | None) -> None:
    assert as_number(value) == number


def test_long_text_is_read_at_once() -> None:
    assert as_number("9" * 10**6 + "x") is None


def test_integers() -> None:
    assert [as_integer(value) for value in (3, 3.0, "3", "3.0")] == [3] * 4
    assert as_integer(2**64 + 1) == 2**64 + 1
    assert [as_integer(value) for value in (2.5, "x", True, None)] == [None] * 4


def test_flags() -> None:
    values = [False, None, 0, "0", 0.0, True, 1, "1", 1.0]
    assert [read_flag({"a": value}, "a", "") for value in values] == [False] * 5 + [True] * 4
    assert not read_flag({}, "a", "")
    for value in (2, "x", [], math.nan):
        with pytest.raises(DataError, match="is neither 0 nor 1"):
            read_flag({"a": value}, "a", "here")


def test_sizes() -> None:
    assert read_size({"height": "40", "width": 60.0}, "") == (40, 60)
    for unknown in ({}, {"height": None, "width": None}, {"height": 0, "width": 60}):
        assert read_size(unknown, "") is None


def all_that(data: DetectionDataset) -> list[Any]:
    """What a data set says, ids aside."""
    found = data.annotations
    masks = found.segmentations
    return [
        data.sizes.tolist(),
        data.class_names,
        *(part.tolist() for part in (found.boxes, found.labels, found.areas, found.is_crowd)),
        [polygon.tolist() for n in range(len(found)) for polygon in masks.polygons(n)]
        if masks
        else None,
        data.federation,
    ]


def as_text(value: Any) -> Any:
    """Every number in ``value`` as text, as some converters write them."""
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return str(value) if isinstance(value, int | float) else value


def as_float(value: Any) -> Any:
    """Every integer in ``value`` as a float, as pandas writes columns with gaps."""
    if isinstance(value, dict):
        return {key: as_float(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_float(item) for item in value]
    return float(value) if isinstance(value, int) else value


RUNS = {"size": [40, 60], "counts": [60, 40, 2300]}


@pytest.mark.parametrize("written", [as_text, as_float])
def test_numbers_written_as_text_or_floats(tmp_path: Path, written: Any) -> None:
    objects = [
        annotation(1, 1, (5, 5, 20, 20), area=123),
        annotation(2, 2, (1, 2, 30, 20), segmentation=RUNS, iscrowd=1, category_id=7),
    ]
    file = write_coco(tmp_path, SIZES, objects)
    data = read_coco(file, tmp_path / "train")
    truth = read_ground_truth(file)
    entries = [
        {"image_id": 1, "category_id": 3, "bbox": [5, 5, 20, 20], "score": 0.5},
        {"image_id": 2, "category_id": 7, "bbox": [1, 2, 30, 20], "score": 1},
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps(entries))
    score = CocoEvaluator(truth, truth.class_names).score(read_results(results, truth))
    assert score["bbox/AP"] == 1

    file.write_text(json.dumps(written(json.loads(file.read_text()))))
    assert all_that(read_coco(file, tmp_path / "train")) == all_that(data)
    other = read_ground_truth(file)
    for name in ("image_sizes", "image", "label", "boxes", "area", "is_crowd", "is_ignored"):
        np.testing.assert_array_equal(getattr(other, name), getattr(truth, name))
    # Results and ground truth need not be written in the same way.
    for ours in (entries, written(entries)):
        for against in (truth, other):
            results.write_text(json.dumps(ours))
            evaluator = CocoEvaluator(against, against.class_names)
            found = evaluator.score(read_results(results, against))
            assert found.to_json() == score.to_json()


@pytest.mark.parametrize("first", [5, 2**63, -(2**70), 13617889236478216017, "b", "0005", "\ud800"])
@pytest.mark.parametrize("second", [6, 2**64, "a b"])
def test_ids_are_names(tmp_path: Path, first: int | str, second: int | str) -> None:
    """Of images, objects and categories; from the file through training to results and back."""
    file = write_coco(tmp_path, SIZES, [annotation(1, 1, (5, 5, 20, 20), area=400)])
    content = json.loads(file.read_text())
    name = {1: first, 2: second, 3: first, 7: second}
    for key, entries in content.items():
        for entry in entries:
            for field in ("id", "image_id", "category_id"):
                if field in entry:
                    entry[field] = name[entry[field]]
        assert key in ("images", "annotations", "categories")
    file.write_text(json.dumps(content))
    data = read_coco(file, tmp_path / "train")
    same_kind = isinstance(first, int) == isinstance(second, int)
    expected = [first, second] if same_kind else [str(first), str(second)]
    assert [data.image_id(i) for i in range(2)] == expected
    assert data.category_ids == (first, second)
    written = data.to_coco()
    assert written["annotations"][0]["id"] == first
    turned = data.take([1, 0])
    assert [turned.image_id(i) for i in range(2)] == expected[::-1]
    truth = GroundTruth.of(turned)
    (result,) = read_results_of(tmp_path, truth, expected[0], first)
    score = CocoEvaluator(truth, truth.class_names).score([result])
    assert score["bbox/AP"] == 1
    # What is written of it meets the file itself.
    (tmp_path / "results.json").write_text(json.dumps(to_coco([result], data.category_ids)))
    of_file = read_ground_truth(file)
    (again,) = read_results(tmp_path / "results.json", of_file)
    assert CocoEvaluator(of_file, of_file.class_names).score([again])["bbox/AP"] == 1
    write_proposals(tmp_path / "p.json", {i: np.ones((1, 5)) for i in expected})
    assert len(read_proposals(tmp_path / "p.json", data)) == 2
    more = data.select_classes(["dog", "bird", "cat"], allow_absent=True)
    assert len(set(map(str, more.category_ids))) == 3
    assert more.category_ids[::2] == (second, first)


def read_results_of(folder: Path, truth: GroundTruth, image: Any, category: Any) -> list[Any]:
    entry = {"image_id": image, "category_id": category, "bbox": [5, 5, 20, 20], "score": 0.5}
    (folder / "results.json").write_text(json.dumps([entry]))
    return read_results(folder / "results.json", truth)


def test_areas_of_0_are_unknown_for_evaluation_too(tmp_path: Path) -> None:
    file = write_coco(tmp_path, SIZES, [annotation(1, 1, (5, 5, 20, 20), area=0)])
    data, truth = read_coco(file, tmp_path / "train"), read_ground_truth(file)
    assert data.annotations.areas.tolist() == truth.area.tolist() == [400]
    assert data.notes == truth.notes != ()


def test_an_outline_that_would_fill_the_memory(tmp_path: Path) -> None:
    zigzag = [value for k in range(5000) for value in ((-1e6, 1e6)[k % 2], k)]
    file = write_coco(tmp_path, SIZES, [annotation(1, 1, (5, 5, 20, 20), segmentation=[zigzag])])
    with pytest.raises(DataError, match="its outline is"):
        read_coco(file, tmp_path / "train")
