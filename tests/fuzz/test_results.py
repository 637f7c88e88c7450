from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from detzoo.evaluate import CocoEvaluator, read_ground_truth, read_results
from tests.data.files import annotation, write_coco
from tests.fuzz.conftest import Rule
from tests.fuzz.strategies import ODD_VALUES, broken_text, broken_values, few

RUNS = {"size": [40, 60], "counts": [60, 40, 2300]}
RESULTS = [
    {"image_id": 1, "category_id": 3, "bbox": [5, 5, 20, 20], "score": 0.9, "segmentation": RUNS},
    {"image_id": 2, "category_id": 7, "bbox": [1, 5, 9, 20], "score": 0.5, "segmentation": RUNS},
]


def truth_in(folder: Path) -> Path:
    file = folder / "truth" / "annotations" / "train.json"
    if not file.exists():
        objects = [annotation(1, 1, (5, 5, 20, 20)), annotation(2, 2, (1, 5, 9, 9))]
        write_coco(folder / "truth", [(40, 60), (40, 60)], objects)
    return file


def evaluate(folder: Path) -> None:
    truth = read_ground_truth(truth_in(folder))
    results = read_results(folder / "results.json", truth)
    kinds = ("bbox", "segm") if results and results[0].masks is not None else ("bbox",)
    CocoEvaluator(truth, truth.class_names, kinds=kinds).score(results)


@given(results=broken_values(RESULTS))
def test_results(rule: Rule, folder: Path, results: Any) -> None:
    (folder / "results.json").write_text(json.dumps(results))
    rule.read(evaluate, folder)


@given(text=broken_text(json.dumps(RESULTS)))
def test_text_of_results(rule: Rule, folder: Path, text: bytes) -> None:
    (folder / "results.json").write_bytes(text)
    rule.read(evaluate, folder)


@given(results=broken_values(RESULTS))
@few()
def test_the_command(rule: Rule, folder: Path, results: Any) -> None:
    (folder / "results.json").write_text(json.dumps(results))
    rule.run("evaluate", folder / "results.json", truth_in(folder))


def read_mask(folder: Path, segmentation: Any) -> float:
    """The area of a mask in an image of 40 x 60 pixels, read from a file of results."""
    (folder / "results.json").write_text(json.dumps([{**RESULTS[0], "segmentation": segmentation}]))
    (result,) = read_results(folder / "results.json", read_ground_truth(truth_in(folder)))
    assert result.masks is not None
    return float(result.masks.areas()[0])


_COUNTS = st.one_of(
    st.lists(st.integers(-3, 3000), max_size=6),
    st.lists(st.sampled_from(ODD_VALUES), max_size=3),
    st.text([chr(code) for code in range(40, 120)], max_size=12),
    st.text(["0", "~", "\n", "\0", "\xe9", "\u0663", "\ud800"], max_size=5),
    st.sampled_from(ODD_VALUES),
)


@given(counts=_COUNTS)
def test_run_lengths(rule: Rule, folder: Path, counts: Any) -> None:
    area = rule.read(read_mask, folder, {"size": [40, 60], "counts": counts})
    assert area is None or 0 <= area <= 40 * 60


@given(polygons=st.lists(st.lists(st.floats(-3000, 3000), max_size=8), max_size=3))
def test_polygons(rule: Rule, folder: Path, polygons: list[list[float]]) -> None:
    area = rule.read(read_mask, folder, polygons)
    assert area is None or 0 <= area <= 40 * 60
