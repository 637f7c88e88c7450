"""Faults in data/ and evaluate/ that the fuzzing has found. Who mends one takes its mark away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detzoo.data.locate import open_dataset
from detzoo.evaluate import read_ground_truth, read_results
from tests.data.files import annotation, voc_object, write_coco, write_voc
from tests.data.test_lvis import write_lvis
from tests.fuzz.conftest import Rule

SIZES = [(40, 60), (40, 60)]
fault = pytest.mark.xfail(strict=True, raises=(OverflowError, ValueError, TypeError, MemoryError))


def coco(folder: Path, **changes: Any) -> Path:
    return write_coco(folder, SIZES, [annotation(1, 1, (5, 5, 20, 20), **changes)])


@fault
def test_ids_beyond_64_bits(rule: Rule, tmp_path: Path) -> None:
    """Ids are names: any integer will do."""
    file = coco(tmp_path, id=2**64)
    rule.read(open_dataset, file)


@fault
def test_ids_of_images_beyond_64_bits(rule: Rule, tmp_path: Path) -> None:
    file = coco(tmp_path, id=5)
    file.write_text(file.read_text().replace('"id": 1,', f'"id": {2**64},'))
    file.write_text(file.read_text().replace('"image_id": 1,', f'"image_id": {2**64},'))
    rule.read(open_dataset, file)


@fault
def test_sizes_beyond_64_bits(rule: Rule, tmp_path: Path) -> None:
    file = coco(tmp_path)
    file.write_text(file.read_text().replace('"height": 40', f'"height": {2**64}'))
    rule.read(open_dataset, file)
    rule.read(read_ground_truth, file)


def test_sizes_beyond_64_bits_in_voc(rule: Rule, tmp_path: Path) -> None:
    root = write_voc(tmp_path, {"a": voc_object("cat", (5, 5, 20, 20))}, {"train": ["a"]})
    file = root / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<height>40<", f"<height>{2**64}<"))
    rule.read(open_dataset, root)


@fault
def test_a_polygon_that_fills_the_memory(rule: Rule, tmp_path: Path) -> None:
    file = coco(tmp_path, segmentation=[[5, 5, 1e12, 5, 20, 20]])
    dataset = open_dataset(file)
    rule.read(dataset.sample, 0, "bitmap")


@fault
@pytest.mark.parametrize("key", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_lists_of_lvis_that_are_none(rule: Rule, tmp_path: Path, key: str) -> None:
    file = write_lvis(tmp_path, **{key: None})
    rule.read(read_ground_truth, file)


@fault
@pytest.mark.parametrize("key", ["score", "bbox"])
def test_numbers_of_hundreds_of_digits(rule: Rule, tmp_path: Path, key: str) -> None:
    entry = {"image_id": 1, "category_id": 3, "bbox": [5, 5, 20, 20], "score": 0.5}
    entry[key] = 10**400 if key == "score" else [10**400] * 4
    (tmp_path / "results.json").write_text(json.dumps([entry]))
    truth = read_ground_truth(coco(tmp_path))
    rule.read(read_results, tmp_path / "results.json", truth)
