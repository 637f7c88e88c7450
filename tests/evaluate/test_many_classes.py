from __future__ import annotations

import json
import time
from pathlib import Path

from detzoo.data.coco import read_coco
from detzoo.data.union import union
from detzoo.evaluate import CocoEvaluator, GroundTruth, read_ground_truth, read_results
from tests.data.files import annotation, write_coco


def test_twenty_thousand_classes(tmp_path: Path) -> None:
    """What goes through all pairs of them takes minutes."""
    count = 20_000
    categories = [{"id": k, "name": f"class {k}"} for k in range(count)]
    objects = [
        annotation(k, 1, (5, 5, 20, 20), category_id=1000 * k, segmentation=None) for k in range(20)
    ]
    file = write_coco(tmp_path, [(40, 60)], objects, changes={"categories": categories})
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{**one, "score": 0.5} for one in objects]))
    started = time.process_time()
    data = read_coco(file, tmp_path / "train")
    names = data.class_names
    turned = union([data, data.take([])], class_names=names[::-1])
    truth = read_ground_truth(file)
    found = read_results(results, truth)
    for one in (truth, GroundTruth.of(turned)):
        evaluator = CocoEvaluator(one, names)
        assert evaluator.left_out == ()
        assert evaluator.labels_of_detector.tolist() == list(one.labels_of(names))
    assert CocoEvaluator(truth, names).score(found)["bbox/AP"] == 1
    assert time.process_time() - started < 20
