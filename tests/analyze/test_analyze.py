"""Each analysis against COCO's evaluation, another package, or figures worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv

from detzoo.analyze import analyze
from detzoo.analyze.bootstrap import difference, image_weights, metric_samples
from detzoo.analyze.calibration import calibration
from detzoo.analyze.compare import compare, to_latex, to_markdown, wins
from detzoo.analyze.confusion import confusion_matrix
from detzoo.analyze.curves import curve
from detzoo.analyze.matches import match
from detzoo.analyze.tide import ERRORS, analyze_errors
from detzoo.errors import DataError
from detzoo.evaluate import (
    CocoEvaluator,
    GroundTruth,
    ImageResult,
    LvisEvaluator,
    read_results,
)
from detzoo.evaluate.coco import Kind
from tests.analyze.scenes import NAMES, NUM_IMAGES, coco, result, truth_of


def read(
    folder: Path, *, crowds: float = 0.0, masks: bool = False
) -> tuple[GroundTruth, list[ImageResult]]:
    content, found = coco(crowds=crowds, masks=masks)
    (folder / "found.json").write_text(json.dumps(found))
    truth = GroundTruth.from_coco(content)
    return truth, read_results(folder / "found.json", truth)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("crowds", [0.0, 0.3])
def test_metrics_are_cocos(tmp_path: Path, kind: Kind, crowds: float) -> None:
    truth, results = read(tmp_path, crowds=crowds, masks=kind == "segm")
    expected = CocoEvaluator(truth, NAMES, kinds=[kind]).score(results)
    samples = metric_samples(match(truth, results, NAMES, kind), image_weights(NUM_IMAGES, 0))
    for name, values in samples.items():
        assert values[0] == pytest.approx(expected[f"{kind}/{name}"], abs=1e-12)


def test_metrics_are_lviss(tmp_path: Path) -> None:
    """Classes that nobody looked for in an image, or not everywhere, are no errors there."""
    content, found = coco()
    for image in content["images"]:
        image["neg_category_ids"] = [1] if image["id"] % 2 else [2]
        image["not_exhaustive_category_ids"] = [3] if image["id"] % 3 else []
    for category in content["categories"]:
        category["frequency"] = "f"
    (tmp_path / "found.json").write_text(json.dumps(found))
    truth = GroundTruth.from_coco(content)
    assert truth.federation is not None
    results = read_results(tmp_path / "found.json", truth)
    expected = LvisEvaluator(truth, NAMES).score(results)
    samples = metric_samples(match(truth, results, NAMES), image_weights(NUM_IMAGES, 0))
    for name, values in samples.items():
        assert values[0] == pytest.approx(expected[f"bbox/{name}"], abs=1e-12)
    plain = GroundTruth.from_coco(coco()[0])
    assert CocoEvaluator(plain, NAMES).score(results)["bbox/AP"] < samples["AP"][0]


def test_resampled_metrics_are_those_of_the_drawn_images(tmp_path: Path) -> None:
    """Images that are drawn twice count twice, as if the files listed them twice."""
    content, found = coco()
    weights = image_weights(NUM_IMAGES, 3)
    truth, results = read(tmp_path)
    samples = metric_samples(match(truth, results, NAMES), weights)
    for row in (1, 2, 3):
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        copies: list[dict[str, Any]] = []
        for image in range(NUM_IMAGES):
            for copy in range(int(weights[row, image])):
                number = 1000 * copy + image
                images.append({**content["images"][image], "id": number})
                for of, to in ((content["annotations"], objects), (found, copies)):
                    to += [{**one, "image_id": number} for one in of if one["image_id"] == image]
        again = {
            **content,
            "images": images,
            "annotations": [{**one, "id": k} for k, one in enumerate(objects)],
        }
        drawn = GroundTruth.from_coco(again)
        (tmp_path / "copies.json").write_text(json.dumps(copies))
        expected = CocoEvaluator(drawn, NAMES).score(read_results(tmp_path / "copies.json", drawn))
        # Detections of equal score, those of copies, are ranked by image in one, and not in the
        # other.
        assert samples["AP"][row] == pytest.approx(expected["bbox/AP"], abs=0.01)


def test_errors_are_tides(tmp_path: Path) -> None:
    """The figures of tidecv 1.0.1 for the same objects and detections, in percent there."""
    errors = analyze_errors(match(*read(tmp_path), NAMES))
    assert errors.ap50 == pytest.approx(AP50, abs=1e-12)
    assert errors.gains == pytest.approx(GAINS, abs=1e-12)
    assert {name: errors.counts[name] for name in COUNTS} == COUNTS


def test_errors_by_hand() -> None:
    box = (10.0, 10.0, 20.0, 20.0)
    truth = truth_of({0: [(0, box), (0, (60.0, 60.0, 20.0, 20.0))], 1: [(1, box)], 2: []})
    results = [
        result(
            0,
            (0, box, 0.9),
            (0, (11.0, 10.0, 20.0, 20.0), 0.8),  # found already
            (0, (70.0, 60.0, 20.0, 20.0), 0.7),  # IoU 1/3
            (1, (70.0, 60.0, 20.0, 20.0), 0.6),  # of another class, too
        ),
        result(1, (2, box, 0.5)),
        result(2, (1, box, 0.4)),
    ]
    matches = match(truth, results, NAMES)
    errors = analyze_errors(matches)
    names = [None if k < 0 else ERRORS[k] for k in errors.kinds.tolist()]
    assert names == [None, "Dupe", "Loc", "Both", "Cls", "Bkg"]
    # Both objects would be found if the detections on them were corrected.
    assert errors.counts["Miss"] == 0
    assert errors.counts["FalseNeg"] == 2
    assert matches.found_by.tolist() == [0, -1, -1]


@pytest.mark.parametrize("min_score", [0.0, 0.3, 0.6])
def test_confusions_are_supervisions(tmp_path: Path, min_score: float) -> None:
    content, found = coco()
    ours = confusion_matrix(match(*read(tmp_path), NAMES), min_score)

    def rows(of: list[dict[str, Any]], image: int) -> np.ndarray:
        made = []
        for one in of:
            if one["image_id"] == image:
                x, y, w, h = one["bbox"]
                score = [one["score"]] if "score" in one else []
                made.append([x, y, x + w, y + h, one["category_id"] - 1, *score])
        return np.array(made).reshape(-1, 6 if of is found else 5)

    theirs = sv.ConfusionMatrix.from_tensors(
        [rows(found, i) for i in range(NUM_IMAGES)],
        [rows(content["annotations"], i) for i in range(NUM_IMAGES)],
        list(NAMES),
        min_score,
        0.5,
    )
    assert (ours == theirs.matrix).all()
    assert ours[:-1].sum() == len(content["annotations"])


def test_thresholds_balance_precision_and_recall() -> None:
    box, off = (10.0, 10.0, 20.0, 20.0), (60.0, 60.0, 20.0, 20.0)
    truth = truth_of({0: [(0, box)], 1: [(0, box)], 2: [(0, box)]})
    results = [
        result(0, (0, box, 0.9)),
        result(1, (0, box, 0.6), (0, off, 0.5)),
        result(2, (0, off, 0.4), (0, off, 0.3)),
    ]
    of = curve(match(truth, results, NAMES))
    assert of.precision == pytest.approx([1, 1, 2 / 3, 2 / 4, 2 / 5])
    assert of.recall == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert of.threshold == pytest.approx(0.6)


def test_calibration_by_hand() -> None:
    box, off = (10.0, 10.0, 20.0, 20.0), (60.0, 60.0, 20.0, 20.0)
    truth = truth_of({0: [(0, box)], 1: [(0, box)]})
    results = [
        result(0, (0, box, 0.85)),
        result(1, (0, (15.0, 10.0, 20.0, 20.0), 0.85), (0, off, 0.25)),
    ]
    of = calibration(match(truth, results, NAMES))
    assert of.counts.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 2, 0]
    assert of.precision[[2, 8]].tolist() == [0, 1]
    assert of.d_ece == pytest.approx((2 * 0.15 + 0.25) / 3)
    # IoU of the shifted one: 15 x 20 of 25 x 20.
    assert of.la_ece == pytest.approx((2 * abs(0.85 - (1 + 0.6) / 2) + 0.25) / 3)


def test_groups_and_images(tmp_path: Path) -> None:
    analysis = analyze(*read(tmp_path, crowds=0.1), NAMES, resamples=10)
    by_kind: dict[str, int] = {}
    for one in analysis.groups:
        by_kind[one.kind] = by_kind.get(one.kind, 0) + one.count
    assert set(by_kind.values()) == {len(analysis.matches.objects)}
    assert len(by_kind) == 5
    totals = [row.total for row in analysis.images]
    assert totals == sorted(totals, reverse=True)
    shown = analysis.matches.score >= analysis.threshold
    wrong = int((shown & analysis.matches.is_false).sum())
    above = analysis.matches.is_true & shown
    assert sum(totals) == wrong + len(analysis.matches.objects) - int(above.sum())


def test_suspects_are_what_was_planted() -> None:
    box, other = (10.0, 10.0, 20.0, 20.0), (60.0, 60.0, 20.0, 20.0)
    # In image 1 an object is not annotated, in image 2 it has the wrong name.
    truth = truth_of({0: [(0, box)], 1: [(0, box)], 2: [(1, box)], 3: [(1, box)]})
    results = [
        result(0, (0, box, 0.9)),
        result(1, (0, box, 0.9), (1, other, 0.95)),
        result(2, (0, box, 0.93)),
        result(3, (1, box, 0.6)),
    ]
    analysis = analyze(truth, results, NAMES, resamples=10)
    found = [(one.kind, int(analysis.matches.image[one.detection])) for one in analysis.suspects]
    assert found == [("missing", 1), ("class", 2)]


def test_compared_runs(tmp_path: Path) -> None:
    truth, results = read(tmp_path)
    better = [one[np.flatnonzero(one.scores > 0.5)] for one in results]
    runs = {
        name: analyze(truth, of, NAMES, resamples=10)
        for name, of in (("all_1", results), ("same", results), ("none", better[:1]))
    }
    found = compare(runs, resamples=40)
    assert found.differences["same"]["AP"].interval.value == 0
    assert found.differences["same"]["AP"].p_value == 1
    assert found.differences["none"]["AP"].interval.high < 0
    assert found.differences["none"]["AP"].p_value == pytest.approx(2 / 41)
    assert wins(found).rows[0] == ("same", 0, NUM_IMAGES, 0)
    assert "| run | better than all_1 |" in to_markdown(wins(found))
    assert r"better than all\_1" in to_latex(wins(found))
    fewer = analyze(truth_of({0: [(0, (1.0, 1.0, 9.0, 9.0))]}), [], NAMES, resamples=10)
    with pytest.raises(DataError, match="not evaluated on the same images"):
        compare({"a": runs["same"], "b": fewer})


def test_p_values() -> None:
    assert difference(np.zeros(11), np.array([1.0, *[1.0] * 9, -1.0])).p_value == pytest.approx(0.2)


def test_nothing_to_find() -> None:
    with pytest.raises(DataError, match="nothing to analyze"):
        analyze(truth_of({0: []}), [], NAMES)


def test_no_detections() -> None:
    analysis = analyze(truth_of({0: [(0, (1.0, 1.0, 9.0, 9.0))]}), [], NAMES, resamples=10)
    assert analysis.metrics["AP"].value == 0
    assert analysis.errors.counts["Miss"] == 1
    assert analysis.confusion[0].tolist() == [0, 0, 0, 1]


# Of tidecv, see test_errors_are_tides.
AP50 = 0.2646592947763286
GAINS: dict[str, float] = {
    "Cls": 0.09131816434592092,
    "Loc": 0.12901212922595964,
    "Both": 0.01093820654602716,
    "Dupe": 0.020498155220343612,
    "Bkg": 0.052061190097914434,
    "Miss": 0.07771965055723389,
    "FalsePos": 0.3723044015933085,
    "FalseNeg": 0.1486486679889291,
}
COUNTS: dict[str, int] = {"Cls": 21, "Loc": 43, "Both": 13, "Dupe": 25, "Bkg": 42, "Miss": 23}
