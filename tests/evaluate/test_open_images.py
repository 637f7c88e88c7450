from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from detzoo.data.annotations import LabelLists
from detzoo.data.open_images import OpenImagesLabels, read_ancestors
from detzoo.errors import DataError
from detzoo.evaluate import GroundTruth, ImageResult, OpenImagesEvaluator, default_evaluators

NAMES = ("ball", "football", "cat", "dog")
# A football is a ball.
ANCESTORS = LabelLists.of([[], [0], [], []])


def truth_of(
    objects: list[tuple[Any, ...]], verified: list[list[int]], ancestors: LabelLists = ANCESTORS
) -> GroundTruth:
    """``objects``: (image, class, x1, y1, x2, y2, is a group, is ignored)."""
    truth = GroundTruth.from_coco(
        {
            "images": [{"id": i} for i in range(len(verified))],
            "annotations": [
                {
                    "image_id": image,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": int(is_group),
                    "ignore": int(is_ignored),
                }
                for image, label, x1, y1, x2, y2, is_group, is_ignored in objects
            ],
            "categories": [
                {"id": i, "name": NAMES[i] if len(ancestors) == 4 else f"class {i}"}
                for i in range(len(ancestors))
            ],
        }
    )
    return replace(truth, open_images=OpenImagesLabels(LabelLists.of(verified), ancestors))


def results_of(found: list[tuple[Any, ...]]) -> list[ImageResult]:
    """``found``: (image, class, score, x1, y1, x2, y2)."""
    results = []
    for image in sorted({row[0] for row in found}):
        rows = np.array([row[1:] for row in found if row[0] == image], float)
        boxes = np.concatenate([rows[:, 2:4], rows[:, 4:6] - rows[:, 2:4]], 1)
        results.append(ImageResult(image, boxes, rows[:, 1], rows[:, 0].astype(int)))
    return results


def ap(truth: GroundTruth, found: list[tuple[Any, ...]]) -> dict[str, float]:
    metrics = OpenImagesEvaluator(truth, truth.class_names).score(results_of(found))
    assert metrics.main_name == "openimages/AP50"
    return {**metrics.per_class["openimages/AP50"], "mean": metrics.main}


def test_objects_and_detections_belong_to_the_classes_above_theirs() -> None:
    truth = truth_of(
        [(0, 1, 0, 0, 10, 10, False, False), (0, 0, 50, 0, 60, 10, False, False)], [[]]
    )
    # As a ball, the football is found; as a football, only a ball was seen there.
    found = ap(truth, [(0, 0, 0.9, 0, 0, 10, 10)])
    assert found == pytest.approx(
        {"ball": 0.5, "football": 0, "cat": np.nan, "dog": np.nan, "mean": 0.25}, nan_ok=True
    )
    # A football that is found is a ball that is found.
    found = ap(truth, [(0, 1, 0.9, 0, 0, 10, 10)])
    assert (found["ball"], found["football"], found["mean"]) == (0.5, 1, 0.75)


def test_only_verified_classes_count() -> None:
    objects = [(0, 2, 0, 0, 10, 10, False, False), (1, 3, 0, 0, 10, 10, False, False)]
    found = [
        (1, 2, 0.9, 0, 0, 10, 10),  # a cat, where nobody looked for cats unless image 1 says so
        (0, 2, 0.8, 0, 0, 10, 10),
        (1, 3, 0.7, 0, 0, 10, 10),
    ]
    assert ap(truth_of(objects, [[], []]), found)["cat"] == 1
    assert ap(truth_of(objects, [[], [2]]), found)["cat"] == 0.5


def test_groups() -> None:
    # Two cats, one in a group; IoUs with the group are all below .5.
    truth = truth_of(
        [(0, 2, 0, 0, 100, 100, True, False), (0, 2, 200, 0, 220, 20, False, False)], [[]]
    )
    inside = [
        (0, 2, 0.9, 0, 0, 10, 10),
        (0, 2, 0.8, 20, 20, 30, 30),  # the group again: ignored
        (0, 2, 0.7, 95, 0, 105, 10),  # half of it inside: likewise
        (0, 2, 0.6, 96, 0, 106, 10),  # 4 of 10 inside: wrong
        (0, 2, 0.5, 200, 0, 220, 20),  # the cat by itself
    ]
    # Right, wrong, right of 2: 1 up to recall 1/2, then 2/3.
    assert ap(truth, inside)["cat"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    # A group that nobody found is an object that nobody found.
    assert ap(truth, inside[-1:])["cat"] == 0.5
    # A second detection of a cat that stands in a group is the group's.
    truth = truth_of(
        [(0, 2, 0, 0, 100, 100, True, False), (0, 2, 10, 10, 30, 30, False, False)], [[]]
    )
    twice = [(0, 2, 0.9, 10, 10, 30, 30), (0, 2, 0.8, 10, 10, 30, 31)]
    assert ap(truth, twice)["cat"] == 1


def test_ignored_objects() -> None:
    truth = truth_of([(0, 2, 0, 0, 10, 10, False, True), (0, 2, 50, 0, 60, 10, False, False)], [[]])
    assert ap(truth, [(0, 2, 0.9, 0, 0, 10, 10), (0, 2, 0.8, 50, 0, 60, 10)])["cat"] == 1


def slow_average_precision(
    truth: GroundTruth, found: list[tuple[Any, ...]], label: int, threshold: float
) -> float:
    """As TensorFlow's documentation says it, an image and a detection at a time."""
    labels = truth.open_images
    assert labels is not None

    def is_a(own: int) -> bool:
        return own == label or label in labels.ancestors[own]

    rows: list[tuple[float, bool]] = []
    count = 0
    for image in truth.image_ids:
        mine = [n for n in range(len(truth)) if truth.image[n] == image]
        single = [n for n in mine if is_a(truth.label[n]) and not truth.is_crowd[n]]
        groups = [n for n in mine if is_a(truth.label[n]) and truth.is_crowd[n]]
        count += len(single) + len(groups)
        if not single and not groups and label not in labels.verified[int(image)]:
            continue
        taken: set[int] = set()
        group_scores: dict[int, float] = {}
        dets = sorted((d for d in found if d[0] == image and is_a(d[1])), key=lambda d: -d[2])
        for _, _, score, *box in dets:
            overlaps = [(slow_overlaps(box, truth.boxes[n])[0], n) for n in single]
            iou, best = max(overlaps, key=lambda pair: (pair[0], -pair[1]), default=(0.0, -1))
            if iou >= threshold and best not in taken:
                taken.add(best)
                rows.append((score, True))
                continue
            inside = [(slow_overlaps(box, truth.boxes[n])[1], n) for n in groups]
            part, group = max(inside, key=lambda pair: (pair[0], -pair[1]), default=(0.0, -1))
            if part >= 0.5:
                group_scores[group] = max(score, group_scores.get(group, 0.0))
            else:
                rows.append((score, False))
        rows += [(score, True) for score in group_scores.values()]
    if count == 0:
        return float("nan")
    rows.sort(key=lambda row: -row[0])
    right = np.cumsum([row[1] for row in rows])
    precision = [right[k] / (k + 1) for k in range(len(rows))]
    return sum(max(precision[k:]) / count for k, row in enumerate(rows) if row[1])


def slow_overlaps(box: list[float], other: np.ndarray) -> tuple[float, float]:
    """The IoU, and the part of ``box`` (x1, y1, x2, y2) in ``other`` (x, y, width, height)."""
    x1, y1, x2, y2 = box
    width = min(x2, other[0] + other[2]) - max(x1, other[0])
    height = min(y2, other[1] + other[3]) - max(y1, other[1])
    common = max(width, 0) * max(height, 0)
    area = (x2 - x1) * (y2 - y1)
    return common / (area + other[2] * other[3] - common), common / area


def random_scene(seed: int) -> tuple[GroundTruth, list[tuple[Any, ...]]]:
    """40 images with objects of 8 classes in a hierarchy, and detections of most of them."""
    rng = np.random.default_rng(seed)
    ancestors = LabelLists.of([[], [0], [0, 1], [0, 1], [], [4], [0, 4], []])
    objects, found = [], []
    for image in range(40):
        for _ in range(rng.integers(0, 7)):
            label, is_group = int(rng.integers(0, 8)), bool(rng.random() < 0.3)
            near = rng.uniform(0, 60, 2)
            far = near + rng.uniform(20, 80, 2) * (1 + is_group)
            objects.append((image, label, *near, *far, is_group, False))
            for _ in range(rng.integers(0, 4)):
                a, b = near + rng.normal(0, 5, 2), far + rng.normal(0, 5, 2)
                if is_group:
                    a, b = near + (far - near) * 0.3 * rng.random(2), (near + far) / 2
                seen = label if rng.random() < 0.7 else int(rng.integers(0, 8))
                found.append((image, seen, float(rng.random()), *a, *b))
    verified = [rng.choice(8, rng.integers(0, 4), replace=False).tolist() for _ in range(40)]
    return truth_of(objects, verified, ancestors), found


@pytest.mark.parametrize("seed", range(4))
def test_against_the_slow_one(seed: int) -> None:
    truth, found = random_scene(seed)
    for threshold in (0.5, 0.75):
        evaluator = OpenImagesEvaluator(truth, truth.class_names, iou_threshold=threshold)
        metrics = evaluator.score(results_of(found))
        name = f"openimages/AP{round(100 * threshold)}"
        expected = [slow_average_precision(truth, found, c, threshold) for c in range(8)]
        assert list(metrics.per_class[name].values()) == pytest.approx(expected, abs=1e-12)
        assert metrics.main == pytest.approx(np.nanmean(expected))
        assert 0.05 < metrics.main < 0.95
    # Groups, hierarchy and image-level labels all make a difference.
    labels = truth.open_images
    assert labels is not None
    none = LabelLists.of([[]] * 40), LabelLists.of([[]] * 8)
    for other in (
        replace(truth, is_crowd=np.zeros(len(truth), bool)),
        replace(truth, open_images=OpenImagesLabels(none[0], labels.ancestors)),
        replace(truth, open_images=OpenImagesLabels(labels.verified, none[1])),
    ):
        score = OpenImagesEvaluator(other, truth.class_names, iou_threshold=0.75).score
        assert score(results_of(found)).main != metrics.main


def test_what_chooses_it() -> None:
    truth = truth_of([(0, 2, 0, 0, 10, 10, False, False)], [[]])
    (chosen,) = default_evaluators(truth, NAMES)
    assert isinstance(chosen, OpenImagesEvaluator)
    (chosen,) = default_evaluators(truth, NAMES, metric="coco")
    assert not isinstance(chosen, OpenImagesEvaluator)
    with pytest.raises(DataError, match="not in the format of Open Images"):
        default_evaluators(replace(truth, open_images=None), NAMES, metric="openimages")


def test_a_detector_of_other_classes() -> None:
    truth = truth_of([(0, 1, 0, 0, 10, 10, False, False)], [[]])
    metrics = OpenImagesEvaluator(truth, ("kite", "ball")).score(
        results_of([(0, 1, 0.9, 0, 0, 10, 10), (0, 0, 0.95, 0, 0, 10, 10)])
    )
    assert metrics.per_class["openimages/AP50"] == {"ball": 1}


def test_hierarchy() -> None:
    content = {
        "LabelName": "/m/entity",
        "Subcategory": [
            {
                "LabelName": "/m/ball",
                "Part": [{"LabelName": "/m/cat"}],
                # A class that the data do not have, between two that they have.
                "Subcategory": [
                    {"LabelName": "/m/toy", "Subcategory": [{"LabelName": "/m/football"}]}
                ],
            },
            # A class at two places has the ancestors of both.
            {"LabelName": "/m/cat", "Subcategory": [{"LabelName": "/m/football"}]},
        ],
    }
    label_of = {"/m/entity": 0, "/m/ball": 1, "/m/football": 2, "/m/cat": 3}
    ancestors = read_ancestors(content, label_of, "hierarchy.json")
    assert [ancestors[k] for k in range(4)] == [[], [], [1, 3], []]
    with pytest.raises(DataError, match=r"h\.json: is no hierarchy .* one is \['/m/ball'\]"):
        read_ancestors(["/m/ball"], label_of, "h.json")
    with pytest.raises(DataError, match="one is 'ball'"):
        read_ancestors({"Subcategory": ["ball"]}, label_of, "h.json")


def test_labels_follow_images_and_classes() -> None:
    labels = OpenImagesLabels(LabelLists.of([[0, 2], [1], []]), ANCESTORS)
    taken = labels.take(torch.tensor([1, 0]))
    assert [taken.verified[i] for i in range(2)] == [[1], [0, 2]]
    # ball 0 -> 2, football 1 -> 0, cat: left out, dog 3 -> 1.
    moved = labels.relabeled(torch.tensor([2, 0, -1, 1]), 3)
    assert [moved.verified[i] for i in range(3)] == [[2], [0], []]
    assert [moved.ancestors[c] for c in range(3)] == [[2], [], []]
    other = OpenImagesLabels(LabelLists.of([[3]]), LabelLists.of([[], [3], [], []]))
    joined = OpenImagesLabels.join([labels, other])
    assert [joined.verified[i] for i in range(4)] == [[0, 2], [1], [], [3]]
    assert joined.ancestors[1] == [0, 3]
