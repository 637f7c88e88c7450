import dataclasses
import json

import numpy as np
import pytest
import torch

from detzoo.data.coco import read_coco
from detzoo.errors import DataError
from detzoo.evaluate import (
    AreaRange,
    CocoEvaluator,
    GroundTruth,
    ImageResult,
    coco,
    read_ground_truth,
    read_results,
)
from detzoo.structures import BitmapMasks, Detections
from tests.evaluate import official, synthetic
from tests.shared import shared

GOLDEN = {
    "bbox": [0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564],
    "segm": [0.320, 0.562, 0.299, 0.387, 0.310, 0.327, 0.268, 0.415, 0.417, 0.469, 0.377, 0.381],
}


def _read(tmp_path, data, results):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    truth = GroundTruth.from_coco(data)
    return truth, read_results(path, truth)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_golden(kind):
    folder = shared("data", "coco_eval_golden")
    annotations = folder / "tests/dataset/cocoapi/instances_val2014_100.json"
    found = folder / f"cocoapi_results/results/instances_val2014_fake{kind}100_results.json"
    truth = read_ground_truth(annotations)
    metrics = CocoEvaluator(truth, truth.class_names, kinds=(kind,)).score(
        read_results(found, truth)
    )
    assert [round(value, 3) for value in metrics.values.values()] == GOLDEN[kind]
    expected = official.twelve(
        json.loads(annotations.read_text()), json.loads(found.read_text()), kind
    )
    assert dict(metrics.values) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_equals_official_tool(tmp_path, kind, seed):
    data = synthetic.coco_data(seed)
    entries = synthetic.coco_results(data, seed, with_masks=kind == "segm")
    truth, results = _read(tmp_path, data, entries)
    metrics = CocoEvaluator(truth, truth.class_names, kinds=(kind,)).score(results)
    expected = official.twelve(data, entries, kind)
    assert dict(metrics.values) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert 0.05 < metrics.main < 0.95


def test_custom_areas_and_numbers_of_detections(tmp_path):
    data = synthetic.coco_data(9)
    entries = synthetic.coco_results(data, 9, with_masks=False)
    truth, results = _read(tmp_path, data, entries)
    areas = (AreaRange("tiny", 0, 200), AreaRange("rest", 200, 1e10))
    metrics = CocoEvaluator(truth, truth.class_names, max_detections=(5, 2), areas=areas).score(
        results
    )
    evaluation, _ = official.run(
        data,
        entries,
        "bbox",
        maxDets=[2, 5],
        areaRng=[[0, 1e10], [0, 200], [200, 1e10]],
        areaRngLbl=["all", "tiny", "rest"],
    )
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]

    def mean(values):
        return values[values > -1].mean()

    assert dict(metrics.values) == pytest.approx(
        {
            "bbox/AP": mean(precision[..., 0, 1]),
            "bbox/AP50": mean(precision[0, ..., 0, 1]),
            "bbox/AP75": mean(precision[5, ..., 0, 1]),
            "bbox/APtiny": mean(precision[..., 1, 1]),
            "bbox/APrest": mean(precision[..., 2, 1]),
            "bbox/AR2": mean(recall[..., 0, 0]),
            "bbox/AR5": mean(recall[..., 0, 1]),
            "bbox/ARtiny": mean(recall[..., 1, 1]),
            "bbox/ARrest": mean(recall[..., 2, 1]),
        },
        abs=1e-9,
    )


def test_per_class(tmp_path):
    data = synthetic.coco_data(5)
    entries = synthetic.coco_results(data, 5, with_masks=False)
    truth, results = _read(tmp_path, data, entries)
    metrics = CocoEvaluator(truth, truth.class_names).score(results)
    evaluation, _ = official.run(data, entries, "bbox")
    by_class = metrics.per_class["bbox/AP"]
    assert set(by_class) == {f"class {c['id']}" for c in data["categories"]}
    for k, category_id in enumerate(evaluation.params.catIds):
        precision = evaluation.eval["precision"][:, :, k, 0, 2]
        expected = np.nan if category_id == 90 else precision[precision > -1].mean()
        assert by_class[f"class {category_id}"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_in_groups_of_classes_as_at_once(tmp_path, monkeypatch):
    data = synthetic.coco_data(6)
    truth, results = _read(tmp_path, data, synthetic.coco_results(data, 6, with_masks=True))
    evaluator = CocoEvaluator(truth, truth.class_names, kinds=("bbox", "segm"))
    at_once = evaluator.score(results)
    monkeypatch.setattr(coco, "DETECTIONS_AT_ONCE", 1)
    assert len(list(coco._groups(range(5), np.arange(5)))) == 5
    in_groups = evaluator.score(results)
    assert dict(in_groups.values) == pytest.approx(dict(at_once.values), nan_ok=True)
    monkeypatch.setattr(coco, "CLASSES_AT_ONCE", 2)
    assert list(coco._groups(range(5), np.zeros(0, int))) == [[0, 1], [2, 3], [4]]


def test_masks_are_ranked_by_their_own_scores(tmp_path):
    data = synthetic.coco_data(6)
    truth, results = _read(tmp_path, data, synthetic.coco_results(data, 6, with_masks=True))
    rated = [dataclasses.replace(result, mask_scores=1 - result.scores) for result in results]
    swapped = [dataclasses.replace(result, scores=1 - result.scores) for result in results]
    evaluator = CocoEvaluator(truth, truth.class_names, kinds=("bbox", "segm"))
    by_box, by_mask, both = (dict(evaluator.score(r).values) for r in (results, swapped, rated))
    assert by_box["segm/AP"] != pytest.approx(by_mask["segm/AP"], abs=1e-4)
    for name, value in both.items():
        wanted = by_mask if name.startswith("segm") else by_box
        assert value == pytest.approx(wanted[name], nan_ok=True)


def test_order_of_images_does_not_matter(tmp_path):
    data = synthetic.coco_data(7)
    truth, results = _read(tmp_path, data, synthetic.coco_results(data, 7, with_masks=False))
    evaluator = CocoEvaluator(truth, truth.class_names)
    assert evaluator.score(results[::-1]).to_json() == evaluator.score(results).to_json()


def _one_object_each(*names):
    return GroundTruth.from_coco(
        {
            "images": [{"id": "a", "height": 50, "width": 60}, {"id": "b"}],
            "annotations": [
                {"id": 0, "image_id": "a", "category_id": i, "bbox": [10 * i, 5, 8, 8]}
                for i, _ in enumerate(names)
            ],
            "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        }
    )


def _detections(boxes, labels, masks=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(boxes, torch.linspace(0.9, 0.5, len(boxes)), torch.tensor(labels), masks)


def test_classes_meet_by_name():
    truth = _one_object_each("cat", "dog", "cow")
    evaluator = CocoEvaluator(truth, ("bird", "dog", "cat"))
    found = _detections([[0, 5, 8, 13], [10, 5, 18, 13], [20, 5, 28, 13]], [2, 1, 0])
    metrics = evaluator.score([ImageResult.of("a", found)])
    assert evaluator.left_out == ("cow",)
    assert metrics.per_class["bbox/AP"] == {"cat": pytest.approx(1), "dog": pytest.approx(1)}
    assert metrics.main == pytest.approx(1)


def test_annotation_id_zero_counts():
    metrics = CocoEvaluator(_one_object_each("cat"), ("cat",)).score(
        [ImageResult.of("a", _detections([[0, 5, 8, 13]], [0]))]
    )
    assert metrics.main == pytest.approx(1)


def test_nothing_found():
    evaluator = CocoEvaluator(_one_object_each("cat"), ("cat",))
    empty = ImageResult.of("b", Detections.empty())
    for results in ([], [empty]):
        metrics = evaluator.score(results)
        assert metrics.main == 0
        assert np.isnan(metrics["bbox/APl"])  # there are no large objects


def test_no_objects_at_all():
    truth = GroundTruth.from_coco(
        {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    )
    metrics = CocoEvaluator(truth, ("cat",)).score(
        [ImageResult.of(1, _detections([[0, 0, 5, 5]], [0]))]
    )
    assert np.isnan(list(metrics.values.values())).all()


def test_masks_of_a_detector():
    bitmap = torch.zeros((1, 50, 60), dtype=torch.uint8)
    bitmap[0, 5:20, 3:40] = 1
    truth = GroundTruth.from_coco(
        {
            "images": [{"id": 1, "height": 50, "width": 60}],
            "annotations": [
                {
                    "image_id": 1,
                    "category_id": 1,
                    "bbox": [3, 5, 37, 15],
                    "segmentation": [[3, 5, 40, 5, 40, 20, 3, 20]],
                }
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )
    evaluator = CocoEvaluator(truth, ("cat",), kinds=("bbox", "segm"))
    # The box is right, the mask covers six tenths of it.
    bitmap[0, 14:] = 0
    found = _detections([[3, 5, 40, 20]], [0], BitmapMasks(bitmap))
    metrics = evaluator.score([ImageResult.of(1, found)])
    assert metrics["bbox/AP"] == pytest.approx(1)
    assert metrics["segm/AP"] == pytest.approx(0.3)  # right at IoU .50, .55, .60
    assert metrics.main_name == "bbox/AP"
    with pytest.raises(DataError, match=r"image 1 have no segmentation.*--type bbox"):
        evaluator.score([ImageResult.of(1, _detections([[3, 5, 40, 20]], [0]))])


def test_errors():
    truth = _one_object_each("cat", "dog")
    with pytest.raises(
        DataError, match="none of the detector's classes: it has cat, dog, and the detector car"
    ):
        CocoEvaluator(truth, ("car",))
    with pytest.raises(DataError, match=r"no object has a segmentation"):
        CocoEvaluator(truth, ("cat",), kinds=("segm",))
    with pytest.raises(DataError, match="has no image 'c'"):
        CocoEvaluator(truth, ("cat",)).score([ImageResult.of("c", Detections.empty())])


def test_a_data_set_is_scored_as_its_file(tmp_path):
    folder = shared("data", "coco_mini")
    annotations = folder / "annotations/instances_val2017.json"
    raw = json.loads(annotations.read_text())
    rng = np.random.default_rng(0)
    entries = []
    for annotation in raw["annotations"]:
        if annotation["iscrowd"]:
            continue
        shift = rng.normal(0, 2, 2)
        polygons = [np.array(part).reshape(-1, 2) + shift for part in annotation["segmentation"]]
        entries.append(
            {
                "image_id": annotation["image_id"],
                "category_id": annotation["category_id"],
                "score": rng.random(),
                "bbox": (np.array(annotation["bbox"]) + rng.normal(0, 3, 4)).clip(1).tolist(),
                "segmentation": [polygon.reshape(-1).tolist() for polygon in polygons],
            }
        )
    truth = read_ground_truth(annotations)
    data_set = GroundTruth.from_coco(read_coco(annotations, folder / "val2017").to_coco())
    (tmp_path / "found.json").write_text(json.dumps(entries))
    results = read_results(tmp_path / "found.json", truth)
    of_file, of_data_set = (
        CocoEvaluator(source, source.class_names, kinds=("bbox", "segm")).score(results)
        for source in (truth, data_set)
    )
    assert 0.4 < of_file["bbox/AP"] < 0.9
    assert 0.4 < of_file["segm/AP"] < 0.9
    assert dict(of_data_set.values) == pytest.approx(dict(of_file.values), abs=1e-6)
