"""The commands on what MMDetection 2.x left: its checkpoints and its config files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from detzoo.checkpoints import checkpoint
from detzoo.quickstart.scenes import CLASSES
from tests.cli.conftest import Run, assert_refused
from tests.mmdet.config_dump import dump
from tests.mmdet.retinanet import CONFIG, state, write


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A V2 checkpoint for the classes of the scenes."""
    return write(tmp_path / "retinanet.pth", state(), CLASSES=CLASSES)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "retinanet.py"
    path.write_text("size = (64, 64)\n" + dump(CONFIG).replace("(64, 64)", "size"))
    return path


def test_predict(detzoo: Run, weights: Path, scenes: Path, config_file: Path) -> None:
    image = next(scenes.rglob("*.png"))
    outcome = detzoo("predict", weights, image, "--min-score", 0, "--json", "a.json")
    assert outcome.code == 0, outcome
    outcome = detzoo(
        "predict", config_file, image, "--weights", weights, "--min-score", 0, "--json", "b.json"
    )
    assert outcome.code == 0, outcome
    one, other = (json.loads(Path(name).read_text()) for name in ("a.json", "b.json"))
    assert one == other
    names = {found["class"] for found in one[0]["detections"]}
    assert names
    assert names <= set(CLASSES)


def test_a_config_file_has_no_weights(detzoo: Run, config_file: Path) -> None:
    Path("x.jpg").touch()
    outcome = detzoo("predict", config_file, "x.jpg")
    assert_refused(outcome, "retinanet.py: a configuration has no weights", "--weights")


def test_test(detzoo: Run, weights: Path, scenes: Path) -> None:
    outcome = detzoo("test", weights, "--data", scenes, "--workers", 0)
    assert outcome.code == 0, outcome
    assert "AP" in outcome.out


def test_config(detzoo: Run, weights: Path, config_file: Path) -> None:
    outcome = detzoo("config", config_file, "--diff", weights)
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[-1] == "# 1 settings differ"
    assert outcome.out.startswith("class_names = ")


@pytest.mark.parametrize("source", ["weights", "config_file"])
def test_train(detzoo: Run, weights: Path, config_file: Path, scenes: Path, source: str) -> None:
    name = {"weights": weights, "config_file": config_file}[source]
    write(weights, state())
    options: tuple[object, ...] = ("--epochs", 1, "--workers", 0, "--out", "run")
    if source == "config_file":
        outcome = detzoo("train", name, "--data", scenes, "--weights", weights, *options)
        assert_refused(outcome, "has no class 'cow'", "trains its classes=", "--classes")
        options = (*options, "--classes", ",".join(CLASSES))
    outcome = detzoo("train", name, "--data", scenes, "--weights", weights, *options)
    assert outcome.code == 0, outcome
    assert re.search(r"trained weights: .*circle", outcome.out)
    assert re.search(r"random weights: .*triangle", outcome.out)
    assert "not used: cow" in outcome.out
    found = checkpoint.read("run/last.pt")
    assert found.class_names == CLASSES
    # Stem and first stage are frozen: they are those of the V2 file.
    assert torch.equal(found.model["backbone.conv1.weight"], state()["backbone.conv1.weight"])


def test_data_of_a_config_file(
    detzoo: Run, weights: Path, config_file: Path, scenes: Path, tmp_path: Path
) -> None:
    """What it names is opened where no --data is given."""
    text = config_file.read_text()
    for key, split in (("train", "train"), ("val", "val"), ("test", "val")):
        paths = f"ann_file='annotations/{split}.json', img_prefix='{split}', classes={CLASSES}"
        text += f"\ndata.setdefault('{key}', dict(data['test'])).update({paths})"
    config_file.write_text(text)
    options = ("--weights", weights, "--workers", 0)
    outcome = detzoo("test", config_file, *options)
    assert_refused(outcome, "data.test: ", "annotations/val.json is not there", "--data")
    for name in ("annotations", "train", "val"):
        (tmp_path / name).symlink_to(scenes / name)
    outcome = detzoo("test", config_file, *options)
    assert outcome.code == 0, outcome
    assert "4 images" in outcome.out
    outcome = detzoo("train", config_file, *options, "--epochs", 1, "--out", "run")
    assert outcome.code == 0, outcome
    assert "8 images" in outcome.out
    assert "4 images" in outcome.out
    kept = json.loads(Path("run/run.json").read_text())["options"]
    assert kept["data"] == [str(tmp_path / "annotations/train.json")]
    assert kept["val_images"] == [str(tmp_path / "val")]
    # Data that are given take its place.
    outcome = detzoo("test", config_file, *options, "--data", scenes, "--split", "train")
    assert "8 images" in outcome.out


def test_no_data_at_all(detzoo: Run, weights: Path) -> None:
    assert_refused(detzoo("test", weights), "--data: give the folder of a data set")


def test_a_config_file_that_is_not_there(detzoo: Run) -> None:
    assert_refused(detzoo("train", "none.py", "--data", "x"), "none.py: no such")
