"""``detzoo evaluate`` on panoptic results in COCO's format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detzoo.data.panoptic import read_ids
from detzoo.errors import ConfigError, DataError
from tests.evaluate.test_command import _run
from tests.panoptic import CATEGORY, write_map, write_panoptic_data

TRUTH = "annotations/panoptic_val2017.json"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Results, which are the annotations, and annotations, without the images."""
    data = write_panoptic_data(tmp_path / "data", train=1, val=2)
    shutil.rmtree(data / "val2017")
    content = json.loads((data / TRUTH).read_text())
    results = tmp_path / "found.json"
    results.write_text(json.dumps({"annotations": content["annotations"]}))
    shutil.copytree((data / TRUTH).with_suffix(""), tmp_path / "found")
    return results, data / TRUTH


def edit(results: Path, change: Any) -> None:
    content = json.loads(results.read_text())
    change(content["annotations"])
    results.write_text(json.dumps(content))


def metrics_of(results: Path, truth: Path, *options: str) -> dict[str, Any]:
    out = results.with_name("metrics.json")
    output = _run(results, truth, "--json", out, *options)
    assert "segments in" in output
    content: dict[str, Any] = json.loads(out.read_text())
    return content


def test_the_annotations_are_perfect(files: tuple[Path, Path]) -> None:
    metrics = metrics_of(*files)["metrics"]
    assert set(metrics.values()) == {1.0}
    assert {"panoptic/PQ", "things/SQ", "stuff/RQ"} <= set(metrics)


def test_half_of_a_segment(files: tuple[Path, Path]) -> None:
    results, truth = files
    file = results.with_suffix("") / "1.png"
    ids = read_ids(file)
    sky = ids == 70_000
    area = int(sky.sum())
    rows = np.flatnonzero(sky.any(1))
    ids[rows[-3:]] = np.where(sky[rows[-3:]], 0, ids[rows[-3:]])
    write_map(file, ids)
    # The other image's sky is found whole: IoUs of the rest's part and of 1.
    part = int((ids == 70_000).sum()) / area
    found = metrics_of(results, truth, "--classes", "sky")
    assert found["per_class"]["panoptic/PQ"] == {"sky": pytest.approx((part + 1) / 2)}
    assert found["metrics"]["stuff/RQ"] == 1
    with pytest.raises(ConfigError, match="has no class 'sea'"):
        _run(results, truth, "--classes", "sea")


def test_a_missing_image_and_a_wrong_class(files: tuple[Path, Path]) -> None:
    results, truth = files

    def change(entries: list[Any]) -> None:
        del entries[1]
        ground = next(s for s in entries[0]["segments_info"] if s["category_id"] == 140)
        ground["category_id"] = CATEGORY["sky"]

    edit(results, change)
    per_class = metrics_of(results, truth)["per_class"]
    # Sky: one right, one wrong (the ground), one missed; ground: both missed.
    assert per_class["panoptic/PQ"]["sky"] == pytest.approx(1 / (1 + 0.5 + 0.5))
    assert per_class["panoptic/PQ"]["ground"] == 0


def test_faults(files: tuple[Path, Path]) -> None:
    results, truth = files
    whole = results.read_text()
    first = json.loads(whole)["annotations"][0]
    for change, message in (
        (lambda e: e[0].update(image_id=99), r"annotations\[0\]: is for image 99"),
        (lambda e: e[0]["segments_info"][0].update(category_id=5), "has the category_id 5"),
        (lambda e: e[0]["segments_info"].pop(0), "has segment 70000, which its segments_info lac"),
        (
            lambda e: e[0]["segments_info"].append({**first["segments_info"][0], "id": 6}),
            "has no pixel of segment 6",
        ),
        (
            lambda e: e[0]["segments_info"].append(first["segments_info"][0]),
            "two of its segments have the same id",
        ),
        (lambda e: e[0]["segments_info"][0].update(id="x"), "'x' is no color"),
        (lambda e: e[0].pop("file_name"), "needs a file_name"),
        (lambda e: e.append(first), "two entries for one image"),
        (lambda e: e[1].update(file_name="9.png"), r"9\.png"),
    ):
        results.write_text(whole)
        edit(results, change)
        with pytest.raises(DataError, match=message):
            _run(results, truth)
    results.write_text(whole)
    with pytest.raises(ConfigError, match=r"--areas: .* has panoptic results"):
        _run(results, truth, "--areas", "all:0:1e10")
    with pytest.raises(ConfigError, match="--metric: "):
        _run(results, truth, "--metric", "coco")
    content = json.loads(truth.read_text())
    instances = truth.with_name("instances.json")
    instances.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(DataError, match="has no segments_info"):
        _run(results, instances)
    shutil.rmtree(results.with_suffix(""))
    with pytest.raises(DataError, match="found: no such folder"):
        _run(results, truth)
