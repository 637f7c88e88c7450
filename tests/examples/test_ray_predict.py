"""Batch inference with Ray Data, in a local cluster with two detectors."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import detzoo
from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.quickstart.scenes import CLASSES, write_scenes
from tests.cli.conftest import FIT
from tests.tiny import tiny_mask_rcnn

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_predict.py"
MIN_SCORE = 0.05
# Starting Ray takes longer than detecting: one cluster for all. Reading also needs a core.
DRIVER = """
import json, os, runpy, sys
os.environ["RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"] = "1"  # before Ray starts, as the example does
os.environ["RAY_worker_niceness"] = "0"  # beside other work, workers of the usual 15 never run
import ray
ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
example, runs = json.loads(sys.argv[1])
for arguments in runs:
    sys.argv = [example, *arguments]
    runpy.run_path(example, run_name="__main__")
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="ray is not installed: pip install 'ray[data]'",
    ),
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    experiment = tiny_mask_rcnn(CLASSES, FIT)
    torch.manual_seed(0)
    detector = experiment.build_model()
    torch.nn.init.normal_(detector.get_parameter("roi_head.bbox_head.fc_cls.weight"), std=0.1)
    save(tmp_path / "model.pt", Checkpoint(experiment, detector.state_dict()))
    return tmp_path / "model.pt"


def predict(*runs: tuple[object, ...]) -> None:
    """Runs the example with the arguments of each of ``runs``."""
    texts = [[str(argument) for argument in run] for run in runs]
    command = [sys.executable, "-c", DRIVER, json.dumps([str(EXAMPLE), texts])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


def rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as parquet

    files = sorted(folder.glob("*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def assert_same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [one["class"] for one in found] == [one["class"] for one in wanted]
    scores = [one["score"] for one in wanted]
    assert [one["score"] for one in found] == pytest.approx(scores, abs=1e-4)
    for own, other in zip(found, wanted):
        assert own["box"] == pytest.approx(other["box"], abs=0.1)
        assert own["mask"]["size"] == other["mask"]["size"]


def test_the_answers_are_those_of_a_predictor(model: Path, tmp_path: Path) -> None:
    """Of a folder with a sub-folder, of bytes in Parquet, alone and in structs, and of paths."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    photos = tmp_path / "photos"
    write_scenes(photos, "a", 5, size=64, seed=0)
    write_scenes(photos, "b", 4, size=64, seed=1)
    (photos / "b" / "broken.png").write_bytes(b"hello")
    (photos / "notes.txt").write_text("no image")
    files = sorted(photos.glob("*/*.png"))
    names = [str(file) for file in files]
    contents = [file.read_bytes() for file in files]
    structs = [{"bytes": content, "path": name} for content, name in zip(contents, names)]
    numbers = list(range(len(files)))
    parquet.write_table(pa.table({"image": contents, "id": numbers}), tmp_path / "bytes.parquet")
    parquet.write_table(pa.table({"image": structs}), tmp_path / "structs.parquet")
    uris = [names[0], *(file.as_uri() for file in files[1:])]
    parquet.write_table(pa.table({"photo": uris, "width": numbers}), tmp_path / "paths.parquet")

    shared = ("--workers", 2, "--batch-size", 2, "--min-score", MIN_SCORE)
    predict(
        (model, photos, tmp_path / "of-folder", *shared),
        (model, tmp_path / "bytes.parquet", tmp_path / "of-bytes", *shared),
        (model, tmp_path / "structs.parquet", tmp_path / "of-structs", *shared),
        (model, tmp_path / "paths.parquet", tmp_path / "of-paths", "--column", "photo", *shared),
    )

    readable = [name for name in names if "broken" not in name]
    serial = detzoo.load(model, device="cpu").predict(readable, min_score=MIN_SCORE)
    wanted = {result.path: result.to_json() for result in serial}
    assert sum(len(one["detections"]) for one in wanted.values()) > len(wanted)

    by_name = {
        "of-folder": {row["path"]: row for row in rows(tmp_path / "of-folder")},
        "of-bytes": {names[row["id"]]: row for row in rows(tmp_path / "of-bytes")},
        "of-structs": {row["image"]: row for row in rows(tmp_path / "of-structs")},
        "of-paths": {
            row["photo"].removeprefix("file://"): row for row in rows(tmp_path / "of-paths")
        },
    }
    for found in by_name.values():
        assert set(found) == set(names)
        for name in readable:
            row = found[name]
            assert row["error"] is None
            assert (row["height"], row["width"]) == (64, 64)
            assert_same(row["detections"], wanted[name]["detections"])
        (broken,) = set(names) - set(readable)
        assert found[broken]["detections"] is None
        assert "cannot be decoded" in found[broken]["error"]
    assert set(rows(tmp_path / "of-bytes")[0]) == {"id", "height", "width", "detections", "error"}
