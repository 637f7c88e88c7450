"""Objects without a mask among others that have one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detzoo.data.coco import read_coco
from detzoo.evaluate import (
    CocoEvaluator,
    GroundTruth,
    LvisEvaluator,
    default_evaluators,
    read_results,
)
from tests.data.files import annotation, write_coco
from tests.evaluate import federated, official, synthetic

SIZES = [(64, 64)] * 4
BOX = (5, 5, 30, 30)


def square(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def found(image: int, box: tuple[float, ...], score: float = 0.9) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": 3,
        "bbox": list(box),
        "score": score,
        "segmentation": square(*box),  # type: ignore[arg-type]
    }


def scored(
    tmp_path: Path, results: list[dict[str, Any]], *, segmentation: Any = (), **options: Any
) -> dict[str, float]:
    """Two objects with a mask and two without."""
    objects = [annotation(i, i, BOX) for i in (1, 2)]
    for i in (3, 4):
        bare = annotation(i, i, BOX, segmentation=None)
        objects.append(bare if segmentation == () else {**bare, "segmentation": segmentation})
    data = read_coco(write_coco(tmp_path, SIZES, objects), tmp_path / "train")
    assert data.num_without_mask == 2
    of_data = GroundTruth.of(data)
    of_file = GroundTruth.from_coco(json.loads(Path(data.source).read_text()))
    (tmp_path / "found.json").write_text(json.dumps(results))
    values = []
    for truth in (of_data, of_file):
        assert truth.num_without_mask == 2
        (evaluator,) = default_evaluators(truth, truth.class_names, predicts_masks=True, **options)
        values.append(evaluator.score(read_results(tmp_path / "found.json", truth)).values)
    assert values[0] == pytest.approx(values[1], nan_ok=True)
    return dict(values[0])


@pytest.mark.parametrize("segmentation", [(), None, [], [[]], [[1, 2, 3, 4]], {}])
def test_they_are_truth_for_boxes_alone(tmp_path: Path, segmentation: Any) -> None:
    values = scored(tmp_path, [found(i, BOX) for i in (1, 2, 3, 4)], segmentation=segmentation)
    assert values["bbox/AP"] == 1
    assert values["segm/AP"] == 1


def test_they_need_not_be_found(tmp_path: Path) -> None:
    values = scored(tmp_path, [found(i, BOX) for i in (1, 2)])
    assert values["bbox/AR100"] == 0.5
    assert values["segm/AR100"] == 1


def test_a_second_detection_of_one_is_ignored_and_others_are_wrong(tmp_path: Path) -> None:
    right = [found(i, BOX, 0.5) for i in (1, 2)]
    assert scored(tmp_path, [*right, found(3, BOX), found(3, BOX, 0.8)])["segm/AP"] == 1
    elsewhere = found(3, (40, 40, 20, 20))
    assert scored(tmp_path, [*right, elsewhere])["segm/AP"] == pytest.approx(2 / 3, abs=1e-6)
    # Its box overlaps by .64: enough at the thresholds .5, .55 and .6.
    loose = found(3, (5, 5, 30, 19.2))
    expected = 0.3 + 0.7 * 2 / 3
    assert scored(tmp_path, [*right, loose])["segm/AP"] == pytest.approx(expected, abs=1e-6)


def test_empty_masks_are_what_nothing_finds(tmp_path: Path) -> None:
    results = [found(i, BOX) for i in (1, 2, 3, 4)]
    values = scored(tmp_path, results, missing_masks="empty")
    assert values["bbox/AP"] == 1
    assert values["segm/AR100"] == 0.5


@pytest.mark.parametrize("seed", range(2))
def test_empty_masks_are_those_of_the_official_tool(tmp_path: Path, seed: int) -> None:
    data = synthetic.coco_data(seed)
    for entry in data["annotations"][::3]:
        counts = [synthetic.HEIGHT * synthetic.WIDTH]
        size = [synthetic.HEIGHT, synthetic.WIDTH]
        entry["segmentation"] = {"size": size, "counts": counts}
    entries = synthetic.coco_results(data, seed, with_masks=True)
    (tmp_path / "found.json").write_text(json.dumps(entries))
    truth = GroundTruth.from_coco(data)
    results = read_results(tmp_path / "found.json", truth)
    expected = official.twelve(data, entries, "segm")
    metrics = CocoEvaluator(truth, truth.class_names, kinds=("segm",), missing_masks="empty")
    assert dict(metrics.score(results).values) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    ours = CocoEvaluator(truth, truth.class_names, kinds=("segm",)).score(results)
    assert ours.main > expected["segm/AP"]


def test_data_of_which_all_have_masks_is_scored_the_same(tmp_path: Path) -> None:
    data = synthetic.coco_data(0)
    entries = synthetic.coco_results(data, 0, with_masks=True)
    (tmp_path / "found.json").write_text(json.dumps(entries))
    truth = GroundTruth.from_coco(data)
    assert truth.num_without_mask == 0
    results = read_results(tmp_path / "found.json", truth)
    a, b = (
        CocoEvaluator(truth, truth.class_names, kinds=("segm",), missing_masks=choice)
        for choice in ("ignore", "empty")
    )
    assert a.score(results).values == pytest.approx(b.score(results).values, nan_ok=True)


def test_in_lvis_too(tmp_path: Path) -> None:
    data = federated.lvis_data(0)
    entries = [
        {
            "image_id": one["image_id"],
            "category_id": one["category_id"],
            "bbox": one["bbox"],
            "segmentation": one["segmentation"],
            "score": 0.5,
        }
        for one in data["annotations"]
    ]
    (tmp_path / "found.json").write_text(json.dumps(entries))
    for one in data["annotations"][::3]:
        one["segmentation"] = []
    truth = GroundTruth.from_coco(data)
    results = read_results(tmp_path / "found.json", truth)
    values = {}
    for choice in ("ignore", "empty"):
        (evaluator,) = default_evaluators(
            truth, truth.class_names, predicts_masks=True, missing_masks=choice
        )
        assert isinstance(evaluator, LvisEvaluator)
        metrics = evaluator.score(results)
        assert metrics["bbox/AP"] > 0.98
        values[choice] = metrics["segm/AP"]
    assert values["ignore"] > 0.98
    assert values["empty"] < 0.8
