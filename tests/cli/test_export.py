from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.cli import export as command
from detzoo.cli.main import run
from detzoo.errors import ExportError
from detzoo.inference.loading import load
from detzoo.inference.predictor import Predictor
from detzoo.quickstart.scenes import CLASSES
from detzoo.structures import ImageBatch
from tests.cli.conftest import FIT, Run, assert_refused
from tests.tiny import tiny_retinanet

ARGUMENTS = ("--size", "64", "96", "--batch-size", "2", "--out")
LOW = ("--min-score", 0.0)


@pytest.fixture(scope="module")
def detecting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that finds something: a fresh head is sure of nothing."""
    experiment = tiny_retinanet(CLASSES, FIT)
    torch.manual_seed(0)
    model = experiment.build_model()
    for name in ("retina_cls.weight", "retina_cls.bias"):
        torch.nn.init.normal_(model.get_parameter(f"bbox_head.{name}"))
    file = tmp_path_factory.mktemp("detecting") / "best.pt"
    save(file, Checkpoint(experiment, model.state_dict()))
    return file


@pytest.fixture(scope="module")
def exported(detecting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the RetinaNet."""
    file = tmp_path_factory.mktemp("exported") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["detzoo", "export", str(detecting), *ARGUMENTS, str(file)])
        with pytest.raises(SystemExit) as stop:
            run()
    assert not stop.value.code
    return file


def test_a_file_is_used_like_a_checkpoint(detzoo: Run, exported: Path, scenes: Path) -> None:
    # Images of another format than the input, and three of them for batches of two.
    files = sorted((scenes / "val").glob("*.png"))[:3]
    outcome = detzoo("predict", exported, *files, "--json", "found.json", "--batch-size", 3, *LOW)
    assert outcome.code == 0, outcome
    found = json.loads(Path("found.json").read_text())
    assert [Path(image["image"]).name for image in found] == [file.name for file in files]
    assert all(image["detections"] for image in found)
    outcome = detzoo("test", exported, "--data", scenes, "--json", "metrics.json")
    assert outcome.code == 0, outcome
    assert "bbox/AP" in json.loads(Path("metrics.json").read_text())["metrics"]


@pytest.mark.slow
@pytest.mark.ci
def test_masks(detzoo: Run, mask_rcnn: Path, scenes: Path) -> None:
    outcome = detzoo("export", mask_rcnn, *ARGUMENTS, "model.onnx", "--images", scenes / "val")
    assert outcome.code == 0, outcome
    assert "wrote model.onnx" in outcome.out
    assert [file.name for file in Path().glob("*.onnx*")] == ["model.onnx"]
    outcome = detzoo("predict", "model.onnx", scenes / "val", "--json", "found.json", *LOW)
    assert outcome.code == 0, outcome
    found = json.loads(Path("found.json").read_text())
    assert all("mask" in detection for image in found for detection in image["detections"])


def test_what_programs_without_detzoo_need(exported: Path, detecting: Path) -> None:
    session = onnxruntime.InferenceSession(exported)
    assert {one.name: one.shape for one in session.get_inputs()} == {
        "pixels": [2, 3, 64, 96],
        "sizes": [2, 2],
    }
    assert [one.name for one in session.get_outputs()] == ["boxes", "scores", "labels", "num"]
    facts = session.get_modelmeta().custom_metadata_map
    experiment = load(detecting).experiment
    assert tuple(json.loads(facts["class_names"])) == experiment.class_names
    assert tuple(json.loads(facts["pixel_mean"])) == experiment.model.input_pixels.mean
    assert facts["channel_order"] == "rgb"


def test_the_example(exported: Path, scenes: Path) -> None:
    """A program of NumPy and ONNX Runtime finds the same."""
    path = Path(__file__).parents[2] / "examples" / "onnx_runtime.py"
    example = runpy.run_path(str(path))
    file = scenes / "val" / "0001.png"
    (expected,) = load(exported).predict(file, min_score=0.3)
    session = onnxruntime.InferenceSession(exported)
    names, scores, boxes = example["detect"](session, cv2.imread(str(file)))
    assert names == expected.names
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(boxes, expected.boxes, atol=1e-2)


def test_a_detector_that_differs_is_refused(exported: Path, detecting: Path, scenes: Path) -> None:
    runs = load(exported)
    original = load(detecting, fused=False).model
    torch.nn.init.constant_(original.get_parameter("bbox_head.retina_reg.bias"), 0.1)
    with pytest.raises(ExportError, match="does not detect what the original does"):
        command.verify(Predictor(runs.experiment, original, fused=False), runs, scenes / "val")


def test_refused(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    assert_refused(detzoo("export", retinanet, "--out", "model.trt"), "ends in .onnx")
    assert_refused(detzoo("export", retinanet, "--out", "no/model.onnx"), "no folder no")
    outcome = detzoo("export", "solo_r50_fpn_1x_coco", "--out", "model.onnx")
    assert_refused(outcome, "masks of this detector cover the whole image")
    Path("other.onnx").write_bytes(b"not a model")
    outcome = detzoo("predict", "other.onnx", scenes / "val")
    assert_refused(outcome, "other.onnx: ONNX Runtime cannot open it")
    assert_refused(detzoo("predict", "absent.onnx", scenes / "val"), "absent.onnx: no such file")


def test_training_and_augmentation(detzoo: Run, exported: Path, scenes: Path) -> None:
    outcome = detzoo("predict", exported, scenes / "val", "--tta-flip")
    assert_refused(outcome, "no test-time augmentation")
    model = load(exported).model
    with pytest.raises(ValueError, match="cannot be trained"):
        model(ImageBatch(torch.zeros(1, 3, 64, 96), ()), [])
