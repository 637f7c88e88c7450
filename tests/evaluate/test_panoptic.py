"""Panoptic quality against values by hand, and against the definition computed pair by pair."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detzoo.data.locate import open_dataset
from detzoo.errors import ConfigError, DataError
from detzoo.evaluate import GroundTruth, ImageResult, PanopticEvaluator, default_evaluators
from detzoo.evaluate.panoptic_results import write_panoptic
from detzoo.structures import Detections, PanopticMap
from tests.panoptic import write_map

NAMES, STUFF = ("cat", "dog"), ("sky", "road")
CATEGORIES = [
    {"id": 1, "name": "cat", "isthing": 1},
    {"id": 2, "name": "dog", "isthing": 1},
    {"id": 5, "name": "sky", "isthing": 0},
    {"id": 6, "name": "road", "isthing": 0},
]
Segment = tuple[int, int, int]  # id, category, crowd
CATEGORY_OF = {0: 1, 1: 2, 2: 5, 3: 6}


def truth_of(root: Path, images: list[tuple[np.ndarray, list[Segment]]]) -> GroundTruth:
    """The ground truth that a panoptic data set of these maps is."""
    entries, annotations = [], []
    (root / "images").mkdir(parents=True)
    for number, (ids, segments) in enumerate(images, 1):
        height, width = ids.shape
        write_map(root / "panoptic_val" / f"{number}.png", ids)
        cv2.imwrite(str(root / "images" / f"{number}.jpg"), np.zeros((height, width, 3), np.uint8))
        name = f"{number}.jpg"
        entries.append({"id": number, "file_name": name, "height": height, "width": width})
        info = [
            {
                "id": one,
                "category_id": category,
                "iscrowd": crowd,
                "bbox": [0, 0, width, height],
                "area": int((ids == one).sum()),
            }
            for one, category, crowd in segments
        ]
        annotations.append(
            {"image_id": number, "file_name": f"{number}.png", "segments_info": info}
        )
    content = {"images": entries, "annotations": annotations, "categories": CATEGORIES}
    file = root / "panoptic_val.json"
    file.write_text(json.dumps(content))
    return GroundTruth.of(open_dataset(file, "val", images=root / "images"))


def result_of(number: int, ids: np.ndarray, labels: list[int]) -> ImageResult:
    found = PanopticMap(
        torch.from_numpy(ids.astype(np.int32)),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor([label < len(NAMES) for label in labels], dtype=torch.bool),
        torch.ones(len(labels)),
    )
    return ImageResult.of(number, Detections(*_no_objects(), panoptic=found))


def _no_objects() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)


def test_by_hand(tmp_path: Path) -> None:
    """A cat of 8 of which 6 are found with 2 more; a missed dog; the sky, exactly; a wrong road."""
    wanted = np.zeros((4, 10), np.int32)
    wanted[0, :8] = 300  # a cat
    wanted[1, :4] = 9  # a dog
    wanted[2] = 70_000  # the sky
    wanted[3] = 8  # road, of which none is found
    found = np.zeros((4, 10), np.int32)
    found[0, 2:10] = 1  # 6 pixels of the cat, 2 of void
    found[2] = 2
    found[1, :4] = 3  # a road where the dog is
    found[3, :5] = 4  # a cat where there is road
    truth = truth_of(tmp_path, [(wanted, [(300, 1, 0), (9, 2, 0), (70_000, 5, 0), (8, 6, 0)])])
    metrics = PanopticEvaluator(truth, NAMES, STUFF).score([result_of(1, found, [0, 2, 3, 0])])
    # Void does not count: the union is 8. Of cats, 1 is found, and 1 is wrong.
    assert metrics.per_class["panoptic/PQ"] == pytest.approx(
        {"cat": 0.75 / 1.5, "dog": 0.0, "sky": 1.0, "road": 0.0}
    )
    assert metrics.per_class["panoptic/SQ"] == pytest.approx(
        {"cat": 0.75, "dog": 0.0, "sky": 1.0, "road": 0.0}
    )
    assert metrics.per_class["panoptic/RQ"] == pytest.approx(
        {"cat": 1 / 1.5, "dog": 0.0, "sky": 1.0, "road": 0.0}
    )
    assert metrics["panoptic/PQ"] == pytest.approx(1.5 / 4)
    assert metrics["things/PQ"] == pytest.approx(0.25)
    assert metrics["stuff/PQ"] == pytest.approx(0.5)
    assert metrics["things/SQ"] == pytest.approx(0.375)
    assert metrics.main == metrics["panoptic/PQ"]


def test_an_overlap_of_one_half_is_no_match(tmp_path: Path) -> None:
    wanted = np.full((1, 10), 1, np.int32)
    found = np.array([[1] * 5 + [0] * 5], np.int32)
    truth = truth_of(tmp_path, [(wanted, [(1, 1, 0)])])
    evaluator = PanopticEvaluator(truth, NAMES, STUFF)
    assert evaluator.score([result_of(1, found, [0])])["panoptic/PQ"] == 0
    found[0, 5] = 1
    assert evaluator.score([result_of(1, found, [0])])["panoptic/PQ"] == pytest.approx(0.6)


def test_void_and_crowds_excuse(tmp_path: Path) -> None:
    """More than half of a segment in void, or in a crowd of its class: neither right nor wrong."""
    wanted = np.zeros((3, 10), np.int32)
    wanted[1] = 4  # a crowd of cats
    wanted[2] = 7  # a dog
    truth = truth_of(tmp_path, [(wanted, [(4, 1, 1), (7, 2, 0)])])
    evaluator = PanopticEvaluator(truth, NAMES, STUFF)
    found = np.zeros((3, 10), np.int32)
    found[2] = 1
    found[0, :6], found[1, :4] = 2, 2  # a dog, mostly in void
    found[1, 4:] = 3  # a cat in the crowd
    metrics = evaluator.score([result_of(1, found, [1, 1, 0])])
    assert metrics.per_class["panoptic/PQ"]["dog"] == 1
    assert np.isnan(metrics.per_class["panoptic/PQ"]["cat"])
    # The crowd of cats does not excuse a dog in it.
    metrics = evaluator.score([result_of(1, found, [1, 1, 1])])
    assert metrics.per_class["panoptic/PQ"]["dog"] == pytest.approx(1 / 1.5)


def defined(
    images: list[tuple[np.ndarray, list[Segment], np.ndarray, list[int]]],
) -> dict[str, dict[int, float]]:
    """PQ, SQ and RQ by category, as section 4 of the paper defines them, segment by segment."""
    tp, fp, fn = (dict.fromkeys(CATEGORY_OF.values(), 0) for _ in range(3))
    iou = dict.fromkeys(CATEGORY_OF.values(), 0.0)
    for wanted, segments, found, labels in images:
        void = wanted == 0
        objects = [(one, category) for one, category, crowd in segments if not crowd]
        crowds = {category: one for one, category, crowd in segments if crowd}
        unmatched = {one for one, _ in objects}
        for k, label in enumerate(labels):
            category, mask = CATEGORY_OF[label], found == k + 1
            matched = False
            for one, other in objects:
                true = wanted == one
                overlap = (mask & true).sum() / ((mask & ~void) | true).sum()
                if other == category and overlap > 0.5:
                    matched = True
                    unmatched.remove(one)
                    tp[category] += 1
                    iou[category] += overlap
            excused = void | (wanted == crowds[category]) if category in crowds else void
            if not matched and (mask & excused).sum() / mask.sum() <= 0.5:
                fp[category] += 1
        for one, category in objects:
            fn[category] += one in unmatched
    quality: dict[str, dict[int, float]] = {"PQ": {}, "SQ": {}, "RQ": {}}
    for category, total in iou.items():
        members = tp[category] + fp[category] / 2 + fn[category] / 2
        if members == 0:
            continue
        quality["PQ"][category] = total / members
        quality["SQ"][category] = total / tp[category] if tp[category] else 0.0
        quality["RQ"][category] = tp[category] / members
    return quality


@pytest.mark.parametrize("seed", range(4))
def test_against_the_definition(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(12):
        wanted = np.zeros((24, 32), np.int32)
        found = np.zeros((24, 32), np.int32)
        numbers = [1, 300, 70_000, 12, 66_000, 5]
        for number in numbers:
            top, left = rng.integers(0, 16, 2)
            bottom, right = (top, left) + rng.integers(4, 16, 2)
            wanted[top:bottom, left:right] = number
            if rng.random() < 0.8:
                shift = int(rng.integers(0, 3))
                found[top + shift : bottom, left : right + shift] = numbers.index(number) + 1
        present = [number for number in numbers if (wanted == number).any()]
        categories = rng.choice(list(CATEGORY_OF.values()), len(numbers)).tolist()
        crowds: set[int] = set()
        segments = []
        for number in present:
            category = categories[numbers.index(number)]
            is_crowd = int(category not in crowds and rng.random() < 0.2)
            if is_crowd:
                crowds.add(category)
            segments.append((number, category, is_crowd))
        # The same class mostly; ids without gaps.
        own = [k for k in range(1, len(numbers) + 1) if (found == k).any()]
        category_label = {category: label for label, category in CATEGORY_OF.items()}
        labels = [
            category_label[categories[k - 1]] if rng.random() < 0.8 else int(rng.integers(4))
            for k in own
        ]
        renumbered = np.zeros_like(found)
        for place, k in enumerate(own, 1):
            renumbered[found == k] = place
        images.append((wanted, segments, renumbered, labels))
    truth = truth_of(tmp_path, [(wanted, segments) for wanted, segments, _, _ in images])
    results = [result_of(n, found, labels) for n, (_, _, found, labels) in enumerate(images, 1)]
    metrics = PanopticEvaluator(truth, NAMES, STUFF).score(results)
    names = {1: "cat", 2: "dog", 5: "sky", 6: "road"}
    for quality, expected in defined(images).items():
        by_name = {names[category]: value for category, value in expected.items()}
        assert len(by_name) == 4
        assert metrics.per_class[f"panoptic/{quality}"] == pytest.approx(by_name)
        for kind, chosen in (("things", NAMES), ("stuff", STUFF), ("panoptic", NAMES + STUFF)):
            mean = np.mean([by_name[name] for name in chosen])
            assert metrics[f"{kind}/{quality}"] == pytest.approx(mean)


def test_without_results(tmp_path: Path) -> None:
    wanted = np.array([[1, 1, 3, 3]], np.int32)
    truth = truth_of(tmp_path, [(wanted, [(1, 1, 0), (3, 5, 1)])])
    metrics = PanopticEvaluator(truth, NAMES, STUFF).score([])
    assert metrics["panoptic/PQ"] == 0
    assert np.isnan(metrics["stuff/PQ"])  # the only sky is a crowd


def test_classes_of_one_side_do_not_count(tmp_path: Path) -> None:
    wanted = np.array([[1, 1, 3, 3]], np.int32)
    truth = truth_of(tmp_path, [(wanted, [(1, 1, 0), (3, 5, 0)])])
    evaluator = PanopticEvaluator(truth, ("lion", "cat"), ("road",))
    found = np.array([[1, 1, 2, 3]], np.int32)
    metrics = evaluator.score([result_of(1, found, [1, 0, 2])])
    assert metrics.per_class["panoptic/PQ"] == pytest.approx({"cat": 1.0, "road": 0.0})


def test_what_it_is_given(tmp_path: Path) -> None:
    wanted = np.array([[1, 1]], np.int32)
    truth = truth_of(tmp_path, [(wanted, [(1, 1, 0)])])
    evaluator = PanopticEvaluator(truth, NAMES, STUFF)
    with pytest.raises(DataError, match="no panoptic map"):
        evaluator.score([ImageResult.of(1, Detections(*_no_objects()))])
    with pytest.raises(DataError, match=r"is 3 x 1 pixels .* ground truth 2 x 1"):
        evaluator.score([result_of(1, np.zeros((1, 3), np.int32), [])])
    with pytest.raises(ConfigError, match="of panoptic models"):
        default_evaluators(truth, NAMES, metric="panoptic")
    (default,) = default_evaluators(truth, NAMES, stuff_names=STUFF)
    assert isinstance(default, PanopticEvaluator)
    (other,) = default_evaluators(truth, NAMES, stuff_names=STUFF, metric="coco")
    assert not isinstance(other, PanopticEvaluator)


def test_written_results_are_coco_files(tmp_path: Path) -> None:
    """Read as if they were annotations, they are the same segments."""
    found = np.array([[0, 1, 1, 2, 2, 3]], np.int32)
    result = result_of(1, found, [0, 3, 2]).panoptic
    assert result is not None
    file = tmp_path / "found.json"
    write_panoptic(file, [(1, "a.png", result)], [1, 2, 5, None])
    content = json.loads(file.read_text())
    (entry,) = content["annotations"]
    assert entry["image_id"] == 1
    assert entry["file_name"] == "a.png"
    segments = [(one["id"], one["category_id"], one["area"]) for one in entry["segments_info"]]
    assert segments == [(1, 1, 2), (3, 5, 1)]  # the class without a category is void
    from detzoo.data.panoptic import read_ids

    assert read_ids(tmp_path / "found" / "a.png").tolist() == [[0, 1, 1, 0, 0, 3]]
