import json

import numpy as np
import pytest

from detzoo.errors import DataError
from detzoo.evaluate import GroundTruth, ImageResult, VocEvaluator, read_results
from detzoo.evaluate.voc import area_under_curve, eleven_points
from tests.evaluate import synthetic


def _truth(objects, names=("cat", "dog")):
    """``objects``: (image, class, x1, y1, x2, y2, difficult)."""
    return GroundTruth.from_coco(
        {
            "images": [{"id": i} for i in range(3)],
            "annotations": [
                {
                    "image_id": image,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "ignore": difficult,
                }
                for image, label, x1, y1, x2, y2, difficult in objects
            ],
            "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        }
    )


def _results(found):
    """``found``: (image, label, score, x1, y1, x2, y2)."""
    results = []
    for image in sorted({row[0] for row in found}):
        rows = np.array([row[1:] for row in found if row[0] == image], float)
        boxes = np.concatenate([rows[:, 2:4], rows[:, 4:6] - rows[:, 2:4]], 1)
        results.append(ImageResult(image, boxes, rows[:, 1], rows[:, 0].astype(int)))
    return results


def test_by_hand():
    truth = _truth(
        [
            (0, 0, 0, 0, 9, 9, False),
            (0, 0, 20, 0, 29, 9, False),
            (1, 0, 0, 0, 9, 9, False),
            (1, 0, 50, 50, 59, 59, True),
            (1, 1, 30, 0, 39, 9, False),
        ]
    )
    results = _results(
        [
            (0, 0, 0.9, 0, 0, 9, 9),  # right
            (0, 0, 0.8, 1, 0, 10, 9),  # the same object again: wrong
            (1, 0, 0.7, 50, 50, 59, 59),  # difficult: does not count
            (2, 0, 0.6, 0, 0, 9, 9),  # nothing there: wrong
            (0, 0, 0.5, 20, 0, 29, 9),  # right
            (1, 0, 0.4, 30, 0, 39, 9),  # an object of another class: wrong
        ]
    )
    # Cat: right, wrong, wrong, right, wrong of 3: precision 1 up to recall 1/3, then 1/2 to 2/3.
    # Dog: never found.
    area = VocEvaluator(truth, ("cat", "dog")).score(results)
    assert area.per_class["voc/AP50"]["cat"] == pytest.approx(1 / 3 + 1 / 6)
    assert area.per_class["voc/AP50"]["dog"] == 0
    assert area.main_name == "voc/AP50"
    assert area.main == pytest.approx(1 / 4)
    # Levels 0, .1, .2, .3 have precision 1; .4, .5, .6 have 1/2; the others none.
    eleven = VocEvaluator(truth, ("cat", "dog"), method="11points").score(results)
    assert eleven.per_class["voc/AP50"]["cat"] == pytest.approx((4 + 1.5) / 11)


def test_boxes_contain_their_last_pixel():
    truth = _truth([(0, 0, 0, 0, 9, 9, False)])
    # 10 x 5 of 10 x 10 pixels: IoU exactly .5; without the last pixels it would be 36/81.
    results = _results([(0, 0, 0.9, 0, 0, 9, 4)])
    assert VocEvaluator(truth, ("cat",)).score(results).main == pytest.approx(1)


def test_several_thresholds():
    truth = _truth([(0, 0, 0, 0, 9, 9, False)])
    metrics = VocEvaluator(truth, ("cat",), iou_thresholds=(0.5, 0.7)).score(
        _results([(0, 0, 0.9, 0, 0, 9, 5)])  # IoU .6
    )
    assert metrics.values == {
        "voc/AP": pytest.approx(0.5),
        "voc/AP50": pytest.approx(1),
        "voc/AP70": pytest.approx(0),
    }
    assert metrics.main_name == "voc/AP"


def test_classes_without_objects_do_not_enter_the_mean():
    truth = _truth([(0, 0, 0, 0, 9, 9, False), (1, 1, 0, 0, 9, 9, True)])
    metrics = VocEvaluator(truth, ("dog", "cat")).score(_results([(0, 1, 0.9, 0, 0, 9, 9)]))
    assert metrics.main == pytest.approx(1)
    assert np.isnan(metrics.per_class["voc/AP50"]["dog"])


def test_nothing_found_and_no_objects():
    assert VocEvaluator(_truth([(0, 0, 0, 0, 9, 9, False)]), ("cat",)).score([]).main == 0
    assert np.isnan(
        VocEvaluator(_truth([]), ("cat",)).score(_results([(0, 0, 1, 0, 0, 9, 9)])).main
    )


def test_no_shared_class():
    with pytest.raises(DataError, match="none of the detector's classes"):
        VocEvaluator(_truth([]), ("bird",))


def _slow_average_precision(data, entries, category_id, threshold, method):
    """As the development kit says it, one detection at a time."""
    objects = {image["id"]: [] for image in data["images"]}
    count = 0
    for a in data["annotations"]:
        if a["category_id"] == category_id:
            excused = bool(a["iscrowd"] or a.get("ignore", 0))
            objects[a["image_id"]].append({"box": a["bbox"], "excused": excused, "taken": False})
            count += not excused
    mine = [e for e in entries if e["category_id"] == category_id]
    # Detections of equal score in order of image, then as given.
    mine.sort(key=lambda e: (-e["score"], e["image_id"]))
    right = wrong = 0
    curve = []
    for entry in mine:
        best, best_iou = None, -1.0
        # Objects that count first, as the published evaluation orders them.
        for candidate in sorted(objects[entry["image_id"]], key=lambda o: o["excused"]):
            iou = _slow_iou(entry["bbox"], candidate["box"])
            if iou > best_iou:
                best, best_iou = candidate, iou
        if best_iou >= threshold:
            if best["excused"]:
                continue
            if best["taken"]:
                wrong += 1
            else:
                best["taken"] = True
                right += 1
        else:
            wrong += 1
        curve.append((right / count if count else 0, right / (right + wrong)))
    if count == 0:
        return np.nan
    if method == "11points":
        levels = [k * 0.1 for k in range(11)]
        return sum(max([p for r, p in curve if r >= level], default=0) for level in levels) / 11
    total, previous = 0.0, 0.0
    for i, (r, _) in enumerate(curve):
        total += (r - previous) * max(p for _, p in curve[i:])
        previous = r
    return total


def _slow_iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) + 1
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] + 1) * (a[3] + 1) + (b[2] + 1) * (b[3] + 1) - common)


@pytest.mark.parametrize("method", ["area", "11points"])
@pytest.mark.parametrize("seed", [0, 1])
def test_against_slow_reference(tmp_path, method, seed):
    data = synthetic.coco_data(seed, images=40)
    entries = synthetic.coco_results(data, seed, with_masks=False)
    (tmp_path / "results.json").write_text(json.dumps(entries))
    truth = GroundTruth.from_coco(data)
    metrics = VocEvaluator(
        truth, truth.class_names, method=method, iou_thresholds=(0.5, 0.7)
    ).score(read_results(tmp_path / "results.json", truth))
    for threshold in (0.5, 0.7):
        name = f"voc/AP{round(100 * threshold)}"
        expected = {
            f"class {c['id']}": _slow_average_precision(data, entries, c["id"], threshold, method)
            for c in data["categories"]
        }
        assert dict(metrics.per_class[name]) == pytest.approx(expected, abs=1e-9, nan_ok=True)
        assert metrics[name] == pytest.approx(np.nanmean(list(expected.values())))
    assert 0.05 < metrics.main < 0.9


def test_curves():
    recall, precision = np.array([0.25, 0.25, 0.5, 0.75]), np.array([1.0, 0.5, 2 / 3, 0.75])
    assert area_under_curve(recall, precision) == pytest.approx(0.25 + 0.5 * 0.75)
    assert eleven_points(recall, precision) == pytest.approx((3 + 5 * 0.75) / 11)
    none = np.zeros(0)
    assert area_under_curve(none, none) == eleven_points(none, none) == 0
