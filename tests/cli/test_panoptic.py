"""A panoptic model from its training to files of its segments."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detzoo.config import to_dict
from detzoo.data.locate import open_dataset
from detzoo.data.panoptic import read_ids
from detzoo.data.transforms import Pad, Resize
from detzoo.evaluate import GroundTruth, ImageResult, PanopticEvaluator
from detzoo.structures import Detections, PanopticMap
from tests.cli.conftest import Outcome, Run, assert_refused, write_checkpoint
from tests.panoptic import CATEGORY, HEIGHT, WIDTH, write_panoptic_data
from tests.tiny import tiny_panoptic_fpn

THINGS, STUFF = ("box", "disk"), ("sky", "ground")
TRANSFORMS = (Resize(sizes=((WIDTH, HEIGHT),)), Pad(divisor=32))
CPU = ("--device", "cpu", "--workers", 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_panoptic_data(tmp_path_factory.mktemp("panoptic") / "data", train=6, val=3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "panoptic.pt"
    return write_checkpoint(path, tiny_panoptic_fpn(THINGS, STUFF, TRANSFORMS))


def fit(detzoo: Run, data: Path) -> Outcome:
    """Into the folder ``run``."""
    experiment = tiny_panoptic_fpn(("cat",), ("road",), TRANSFORMS)
    Path("tiny.json").write_text(json.dumps(to_dict(experiment)))
    trained = detzoo(
        "train", "tiny.json", "--data", data, "--epochs", 8, "--no-lr-scaling", "--out", "run", *CPU
    )
    assert trained.code == 0, trained
    return trained


def test_what_training_logs_is_what_testing_measures(detzoo: Run, data: Path) -> None:
    """The stuff comes from the data, in place of that of the configuration."""
    trained = fit(detzoo, data)
    assert "of box, disk, and 2 classes of stuff" in trained.out
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    train = next(line for line in lines if line["kind"] == "train")
    assert train["loss_seg"] > 0
    logged = next(line for line in reversed(lines) if "panoptic/PQ" in line)
    tested = detzoo(
        "test", "run/last.pt", "--data", data, "--per-class", *CPU,
        "--json", "metrics.json", "--save-panoptic", "found.json",
    )  # fmt: skip
    assert tested.code == 0, tested
    assert "panoptic, per class" in tested.out
    assert "ground" in tested.out
    metrics = json.loads(Path("metrics.json").read_text())["metrics"]
    assert metrics["panoptic/PQ"] > 0
    assert metrics == {name: logged[name] for name in metrics}
    assert metrics == measured(Path("found.json"), data)
    truth = data / "annotations" / "panoptic_val2017.json"
    again = detzoo("evaluate", "found.json", truth, "--json", "again.json")
    assert again.code == 0, again
    assert json.loads(Path("again.json").read_text())["metrics"] == metrics


def measured(file: Path, data: Path) -> dict[str, float]:
    """The quality of the segments in a file of COCO's format."""
    truth = GroundTruth.of(open_dataset(data, "val"))
    label_of = {CATEGORY[name]: label for label, name in enumerate((*THINGS, *STUFF))}
    results = []
    for entry in json.loads(file.read_text())["annotations"]:
        ids = read_ids(file.with_suffix("") / entry["file_name"])
        info = entry["segments_info"]
        assert [one["id"] for one in info] == list(range(1, len(info) + 1))
        assert [one["area"] for one in info] == [int((ids == one["id"]).sum()) for one in info]
        labels = torch.tensor([label_of[one["category_id"]] for one in info])
        found = PanopticMap(torch.from_numpy(ids), labels, labels < 2, torch.ones(len(info)))
        empty = Detections.empty()
        whole = Detections(empty.boxes, empty.scores, empty.labels, panoptic=found)
        results.append(ImageResult.of(entry["image_id"], whole))
    return dict(PanopticEvaluator(truth, THINGS, STUFF).score(results).values)


def test_predicting(detzoo: Run, checkpoint: Path, data: Path) -> None:
    outcome = detzoo(
        "predict", checkpoint, data / "val2017", "--save", "panoptic,csv", "--json", "found.json",
        "--out", "pictures", "--min-score", "0.01", "--device", "cpu",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    found = json.loads(Path("found.json").read_text())
    assert len(found) == 3
    covered = np.zeros((HEIGHT, WIDTH), np.uint8)
    for segment in found[0]["segments"]:
        assert segment["class"] in (*THINGS, *STUFF)
        assert segment["is_thing"] == (segment["class"] in THINGS)
        assert segment["mask"]["size"] == [HEIGHT, WIDTH]
        covered += (read_ids(Path("pictures/panoptic/1.png")) == segment["id"]).astype(np.uint8)
    assert covered.max() == 1
    picture = cv2.imread("pictures/1.jpg")
    assert picture is not None
    assert picture.shape == (HEIGHT, WIDTH, 3)
    # The files are a data set.
    Path("pictures/panoptic_val.json").write_text(Path("pictures/panoptic.json").read_text())
    Path("pictures/panoptic").rename("pictures/panoptic_val")
    again = open_dataset("pictures/panoptic_val.json", images="/")
    assert again.class_names == THINGS
    assert again.stuff_names == STUFF
    areas = [segment["area"] for segment in found[0]["segments"] if segment["is_thing"]]
    assert again.annotations.areas[again.annotations.rows(0)].tolist() == areas


@pytest.mark.slow
@pytest.mark.ci
def test_exported(detzoo: Run, data: Path) -> None:
    """A file segments as its checkpoint does."""
    fit(detzoo, data)
    exported = detzoo(
        "export", "run/last.pt", "--out", "model.pt2", "--size", HEIGHT, WIDTH,
        "--images", data / "val2017",
    )  # fmt: skip
    assert exported.code == 0, exported
    assert "panoptic maps in 0.00%" in exported.out
    metrics = []
    for model in ("run/last.pt", "model.pt2"):
        options = ("--trust",) if model == "model.pt2" else ()
        tested = detzoo("test", model, "--data", data, *CPU, *options, "--json", "metrics.json")
        assert tested.code == 0, tested
        metrics.append(json.loads(Path("metrics.json").read_text())["metrics"])
    assert metrics[0]["panoptic/PQ"] > 0
    assert metrics[1] == pytest.approx(metrics[0], abs=1e-6)


def test_images_without_annotations(detzoo: Run, checkpoint: Path, data: Path) -> None:
    """A list of images gives the results that the annotated images give, with the same ids."""
    truth = data / "annotations" / "panoptic_val2017.json"
    content = json.loads(truth.read_text())
    things = [category for category in content["categories"] if category["isthing"]]
    image_list = data / "annotations" / "image_info_val2017.json"
    image_list.write_text(json.dumps({"images": content["images"], "categories": things}))
    command = ("test", checkpoint, "--image-list", image_list, *CPU)
    outcome = detzoo(
        *command, "--categories", truth, "--save-panoptic", "a.json", "--save-detections", "b.json"
    )
    assert outcome.code == 0, outcome
    assert "nothing is scored" in outcome.out
    assert "PQ" not in outcome.out
    wanted = detzoo(
        "test", checkpoint, "--data", data, *CPU,
        "--save-panoptic", "c.json", "--save-detections", "d.json",
    )  # fmt: skip
    assert wanted.code == 0, wanted
    for found, expected in (("a.json", "c.json"), ("b.json", "d.json")):
        assert json.loads(Path(found).read_text()) == json.loads(Path(expected).read_text())
    for picture in Path("c").iterdir():
        assert Path("a", picture.name).read_bytes() == picture.read_bytes()

    assert_refused(detzoo(*command, "--save-panoptic", "a.json"), "no categories of stuff")
    assert_refused(detzoo(*command), "say where to write the results")
    assert_refused(detzoo(*command, "--json", "m.json"), "--json", "have no annotations")
    outcome = detzoo("test", checkpoint, "--data", data, "--categories", truth, *CPU)
    assert_refused(outcome, "--categories", "needs --image-list")
    image_list.write_text(json.dumps({"images": content["images"]}))
    assert_refused(detzoo(*command, "--save-detections", "b.json"), "no list 'categories'")
    image_list.unlink()


def test_some_classes(detzoo: Run, checkpoint: Path, data: Path) -> None:
    image = data / "val2017" / "1.png"
    options = ("--json", "found.json", "--out", "pictures", "--device", "cpu")
    assert detzoo("predict", checkpoint, image, "--classes", "sky", *options).code == 0
    (content,) = json.loads(Path("found.json").read_text())
    assert {segment["class"] for segment in content["segments"]} <= {"sky"}
    score = ("--min-score", "0.3,sky=0.99,ground=0.99")
    assert detzoo("predict", checkpoint, image, *score, *options).code == 0
    (content,) = json.loads(Path("found.json").read_text())
    assert all(segment["is_thing"] for segment in content["segments"])


def test_what_is_refused(
    detzoo: Run, checkpoint: Path, data: Path, scenes: Path, mask_rcnn: Path
) -> None:
    image = data / "val2017" / "1.png"
    assert_refused(detzoo("predict", checkpoint, image, "--tile", 64, "--device", "cpu"), "whole")
    outcome = detzoo("predict", mask_rcnn, image, "--save", "panoptic", "--device", "cpu")
    assert_refused(outcome, "--save panoptic", "finds objects")
    outcome = detzoo("test", mask_rcnn, "--data", scenes, "--save-panoptic", "x.json", *CPU)
    assert_refused(outcome, "--save-panoptic", "finds objects")
    assert_refused(
        detzoo("test", mask_rcnn, "--data", scenes, "--metric", "panoptic", *CPU), "panoptic"
    )
    renamed = write_checkpoint(Path("x.pt"), tiny_panoptic_fpn(("star",), STUFF, TRANSFORMS))
    assert_refused(detzoo("test", renamed, "--data", scenes, *CPU), "no panoptic maps")
    Path("tiny.json").write_text(json.dumps(to_dict(tiny_panoptic_fpn(("cat",), STUFF))))
    outcome = detzoo("train", "tiny.json", "--data", scenes, "--epochs", 1, *CPU)
    assert_refused(outcome, "no panoptic maps", "segments_info")


def test_other_metrics_of_a_panoptic_model(detzoo: Run, checkpoint: Path, data: Path) -> None:
    outcome = detzoo("test", checkpoint, "--data", data, "--metric", "coco", *CPU)
    assert outcome.code == 0, outcome
    assert "segm" in outcome.out
