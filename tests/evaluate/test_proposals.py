import json

import numpy as np
import pytest

from detzoo.evaluate import GroundTruth, ImageResult, ProposalEvaluator, read_results
from detzoo.evaluate.proposals import pair_by_overlap
from tests.evaluate import official, synthetic


def _slow_pairs(iou):
    """The largest overlap of all first, its object and proposal then out of the game."""
    iou = iou.copy()
    paired = np.zeros(len(iou))
    while iou.size and iou.max() >= 0:
        g, p = np.unravel_index(iou.argmax(), iou.shape)
        paired[g] = iou[g, p]
        iou[g, :] = -1
        iou[:, p] = -1
    return paired


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (5, 2), (4, 30), (20, 20)])
def test_pairs_against_slow_reference(shape):
    iou = np.random.default_rng(0).random(shape).round(1)
    np.testing.assert_allclose(np.sort(pair_by_overlap(iou)), np.sort(_slow_pairs(iou)))
    distinct = np.random.default_rng(1).random(shape)
    np.testing.assert_allclose(pair_by_overlap(distinct), _slow_pairs(distinct))


def test_by_hand():
    truth = GroundTruth.from_coco(
        {
            "images": [{"id": 1}, {"id": 2}],
            "annotations": [
                {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]},
                {"image_id": 1, "category_id": 2, "bbox": [50, 0, 40, 40]},
                {"image_id": 1, "category_id": 2, "bbox": [0, 50, 10, 10], "iscrowd": 1},
                {"image_id": 2, "category_id": 1, "bbox": [0, 0, 10, 10], "ignore": 1},
                {"image_id": 2, "category_id": 1, "bbox": [30, 0, 10, 10]},
            ],
            "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        }
    )
    boxes = np.array([[0, 0, 10, 6], [200, 0, 9, 9], [50, 0, 40, 40]], float)
    result = ImageResult(1, boxes, np.array([0.5, 0.9, 0.8]), np.zeros(3, int))
    metrics = ProposalEvaluator(truth, numbers=(2, 3)).score([result])
    # Three objects count. Among the best two proposals only the large object is found, at every
    # threshold; the third finds another one at .50, .55 and .60.
    assert metrics["proposal/AR@2"] == pytest.approx(1 / 3)
    assert metrics["proposal/AR@3"] == pytest.approx((1 + 0.3) / 3)
    assert metrics.main_name == "proposal/AR@3"
    # The COCO tools count the one marked "ignore", too.
    assert metrics["proposal_coco/AR@3"] == pytest.approx((1 + 0.3) / 4)
    assert metrics["proposal_coco/ARs@3"] == pytest.approx(0.3 / 3)
    assert metrics["proposal_coco/ARm@3"] == pytest.approx(1)
    assert np.isnan(metrics["proposal_coco/ARl@3"])


@pytest.mark.parametrize("seed", range(3))
def test_equals_official_tool_without_classes(tmp_path, seed):
    data = synthetic.coco_data(seed)
    entries = synthetic.coco_results(data, seed, with_masks=False)
    (tmp_path / "results.json").write_text(json.dumps(entries))
    truth = GroundTruth.from_coco(data)
    found = read_results(tmp_path / "results.json", truth)
    # The official tool goes class by class where scores are equal: give each its own.
    scores = np.random.default_rng(seed).permutation(len(entries)) / len(entries)
    for entry, score in zip(entries, scores):
        entry["score"] = score
    (tmp_path / "results.json").write_text(json.dumps(entries))
    found = read_results(tmp_path / "results.json", truth)
    metrics = ProposalEvaluator(truth, numbers=(3, 6, 12)).score(found)
    evaluation, _ = official.run(data, entries, "bbox", useCats=0, maxDets=[3, 6, 12])
    recall = evaluation.eval["recall"]  # thresholds, 1, areas, numbers

    def mean(values):
        return values.mean() if (values > -1).all() else np.nan

    expected = {f"proposal_coco/AR@{n}": mean(recall[:, 0, 0, m]) for m, n in enumerate((3, 6, 12))}
    for a, area in enumerate("sml", 1):
        expected[f"proposal_coco/AR{area}@12"] = mean(recall[:, 0, a, 2])
    ours = {name: value for name, value in metrics.values.items() if name in expected}
    assert ours == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert 0.1 < metrics.main < 0.95


@pytest.mark.parametrize("seed", range(2))
def test_pairing_recall_against_slow_reference(tmp_path, seed):
    data = synthetic.coco_data(seed)
    entries = synthetic.coco_results(data, seed, with_masks=False)
    (tmp_path / "results.json").write_text(json.dumps(entries))
    truth = GroundTruth.from_coco(data)
    metrics = ProposalEvaluator(truth, numbers=(4, 10)).score(
        read_results(tmp_path / "results.json", truth)
    )
    for number in (4, 10):
        overlaps = []
        for image in data["images"]:
            objects = [
                a["bbox"]
                for a in data["annotations"]
                if a["image_id"] == image["id"] and not a["iscrowd"] and not a.get("ignore", 0)
            ]
            found = [e for e in entries if e["image_id"] == image["id"]]
            found = sorted(found, key=lambda e: -e["score"])[:number]
            iou = [[_slow_iou(o, e["bbox"]) for e in found] for o in objects]
            overlaps += _slow_pairs(np.array(iou).reshape(len(objects), len(found))).tolist()
        thresholds = [0.5 + 0.05 * k for k in range(10)]
        recalls = [np.mean([o >= t for o in overlaps]) for t in thresholds]
        assert metrics[f"proposal/AR@{number}"] == pytest.approx(np.mean(recalls))


def _slow_iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def test_nothing_found_and_no_objects():
    data = {
        "images": [{"id": 1}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "a"}],
    }
    empty = ImageResult(1, np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    for results in ([], [empty]):
        assert ProposalEvaluator(GroundTruth.from_coco(data)).score(results).main == 0
    nothing = GroundTruth.from_coco({**data, "annotations": []})
    assert np.isnan(ProposalEvaluator(nothing).score([empty]).main)
