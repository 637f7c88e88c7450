from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detzoo.errors import DataError
from detzoo.evaluate import GroundTruth, ImageResult, LvisEvaluator, read_results
from tests.evaluate import federated
from tests.evaluate.synthetic import coco_results
from tests.shared import shared


def evaluate(data: dict[str, Any], results: list[Any], folder: Path, kind: str) -> dict[str, float]:
    truth = GroundTruth.from_coco(data)
    file = folder / "results.json"
    file.write_text(json.dumps(results))
    evaluator = LvisEvaluator(truth, truth.class_names, kinds=(kind,))  # type: ignore[arg-type]
    return dict(evaluator.score(read_results(file, truth)).values)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_against_the_slow_one(tmp_path: Path, seed: int, kind: str) -> None:
    data = federated.lvis_data(seed)
    results = coco_results(data, seed, with_masks=True)
    expected = federated.metrics(data, results, kind)
    found = evaluate(data, results, tmp_path, kind)
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    # The federation makes a difference.
    for image in data["images"]:
        image["not_exhaustive_category_ids"] = []
    assert federated.metrics(data, results, kind)[f"{kind}/AP"] != expected[f"{kind}/AP"]


def scene(**image: Any) -> dict[str, Any]:
    """One object of class 1 in an image; classes 1, 2 and 3."""
    return {
        "images": [
            {
                "id": 1,
                "height": 100,
                "width": 100,
                "neg_category_ids": [2],
                "not_exhaustive_category_ids": [],
                **image,
            },
            {
                "id": 2,
                "height": 100,
                "width": 100,
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
            },
        ],
        "annotations": [
            {"id": k, "image_id": k, "category_id": c, "bbox": [10, 10, 40, 40], "area": 1600}
            for k, c in ((1, 1), (2, 2))
        ],
        "categories": [{"id": k, "name": f"{k}", "frequency": f} for k, f in zip((1, 2, 3), "rcf")],
    }


def found(image: int, label: int, score: float, x: float = 10) -> ImageResult:
    return ImageResult(image, np.array([[x, 10, 40, 40.0]]), np.array([score]), np.array([label]))


def average_precisions(data: dict[str, Any], *results: ImageResult) -> list[float]:
    """Of the three frequencies, which are those of the three classes."""
    merged = []
    for image in (1, 2):
        mine = [result for result in results if result.image_id == image]
        merged.append(
            ImageResult(
                image,
                np.concatenate([np.zeros((0, 4)), *(result.boxes for result in mine)]),
                np.concatenate([np.zeros(0), *(result.scores for result in mine)]),
                np.concatenate([np.zeros(0, np.int64), *(result.labels for result in mine)]),
            )
        )
    truth = GroundTruth.from_coco(data)
    metrics = LvisEvaluator(truth, truth.class_names).score(merged)
    return [metrics[f"bbox/AP{letter}"] for letter in "rcf"]


def test_a_class_that_was_not_looked_for_is_left_out() -> None:
    right = [found(1, 0, 0.5), found(2, 1, 0.5)]
    nan = pytest.approx([1, 1, np.nan], nan_ok=True)
    assert average_precisions(scene(), *right) == nan
    # In image 2, nobody looked for class 1 (label 0); in image 1, class 2 is known to be absent.
    assert average_precisions(scene(), *right, found(2, 0, 0.9)) == nan
    wrong = average_precisions(scene(), *right, found(1, 1, 0.9))
    assert wrong == pytest.approx([1, 0.5, np.nan], nan_ok=True)


def test_a_class_of_which_there_is_more_than_annotated_is_never_wrong() -> None:
    results = [found(1, 0, 0.5), found(2, 1, 0.5), found(1, 0, 0.9, x=55)]
    assert average_precisions(scene(), *results)[0] == pytest.approx(0.5)
    partial = scene(not_exhaustive_category_ids=[1])
    assert average_precisions(partial, *results)[0] == pytest.approx(1)


def test_300_detections_of_an_image_count() -> None:
    data = scene()
    many = ImageResult(
        1,
        np.concatenate([np.full((300, 4), [60, 60, 5, 5.0]), [[10, 10, 40, 40]]]),
        np.linspace(1, 0.5, 301),
        np.array([2] * 300 + [0]),
    )
    assert average_precisions(data, many)[0] == 0
    fewer = ImageResult(1, many.boxes[1:], many.scores[1:], many.labels[1:])
    assert average_precisions(data, fewer)[0] == pytest.approx(1)


def test_data_that_is_not_federated() -> None:
    data = scene()
    for image in data["images"]:
        image.pop("neg_category_ids")
    with pytest.raises(DataError, match="no neg_category_ids"):
        LvisEvaluator(GroundTruth.from_coco(data), ("1",))
    data = scene(neg_category_ids=[7])
    with pytest.raises(DataError, match=r"\(id 1\): its neg_category_ids hold 7"):
        GroundTruth.from_coco(data)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_real_annotations(tmp_path: Path, kind: str) -> None:
    """Detections near the objects of lvis_mini, and others, some of classes nobody looked for."""
    file = shared("data", "lvis_mini", "annotations", "lvis_v0.5_val_mini.json")
    data = json.loads(file.read_text())
    used = {annotation["category_id"] for annotation in data["annotations"]}
    data["categories"] = [c for c in data["categories"] if c["id"] in used]
    for image in data["images"]:
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            image[key] = [number for number in image[key] if number in used]
    rng = np.random.default_rng(0)
    classes = sorted(used)
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    results = []
    for annotation in data["annotations"]:
        height, width = sizes[annotation["image_id"]]
        for _ in range(3):
            x, y, w, h = np.array(annotation["bbox"]) + rng.normal(0, 3, 4)
            category = annotation["category_id"]
            if rng.random() < 0.3:
                category = classes[rng.integers(len(classes))]
            x, y = min(max(x, 0), width - 4), min(max(y, 0), height - 4)
            box = [x, y, min(max(w, 3), width - x), min(max(h, 3), height - y)]
            mask = rectangle(box, (height, width))
            results.append(
                {
                    "image_id": annotation["image_id"],
                    "category_id": category,
                    "bbox": box,
                    "score": round(rng.random(), 2),
                    "segmentation": mask,
                }
            )
    expected = federated.metrics(data, results, kind)
    assert evaluate(data, results, tmp_path, kind) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert 0.01 < expected[f"{kind}/AP"] < 0.9


def rectangle(box: list[float], size: tuple[int, int]) -> dict[str, Any]:
    from pycocotools import mask as official_rle

    bitmap = np.zeros(size, np.uint8, order="F")
    x, y, w, h = (round(number) for number in box)
    bitmap[y : y + h + 1, x : x + w + 1] = 1
    code = official_rle.encode(bitmap)
    return {**code, "counts": code["counts"].decode()}
