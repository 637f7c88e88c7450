from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import pytest
import torch

from detzoo.cli import export as command
from detzoo.inference.loading import load
from tests.cli.conftest import Run, assert_refused

ARGUMENTS = ("--size", 64, 96, "--batch-size", 2, "--out", "model.onnx")


def test_a_file_is_used_like_a_checkpoint(detzoo: Run, mask_rcnn: Path, scenes: Path) -> None:
    outcome = detzoo("export", mask_rcnn, *ARGUMENTS, "--images", scenes / "val")
    assert outcome.code == 0, outcome
    assert "wrote model.onnx" in outcome.out
    assert [file.name for file in Path().glob("*.onnx*")] == ["model.onnx"]

    # Images of another format, and three of them for batches of two.
    same = ("--device", "cpu", "--min-score", 0.0, "--json", "found.json", "--batch-size", 3)
    outcome = detzoo("predict", "model.onnx", scenes / "val", *same)
    assert outcome.code == 0, outcome
    found = json.loads(Path("found.json").read_text())
    assert len(found) == len(list((scenes / "val").glob("*.png")))
    assert all("mask" in detection for image in found for detection in image["detections"])
    outcome = detzoo("test", "model.onnx", "--data", scenes, "--json", "metrics.json")
    assert outcome.code == 0, outcome
    assert {"bbox/AP", "segm/AP"} <= json.loads(Path("metrics.json").read_text()).keys()


def test_what_programs_without_detzoo_need(detzoo: Run, retinanet: Path) -> None:
    assert detzoo("export", retinanet, *ARGUMENTS).code == 0
    session = onnxruntime.InferenceSession("model.onnx")
    assert {one.name: one.shape for one in session.get_inputs()} == {
        "pixels": [2, 3, 64, 96],
        "sizes": [2, 2],
    }
    assert [one.name for one in session.get_outputs()] == ["boxes", "scores", "labels", "num"]
    facts = session.get_modelmeta().custom_metadata_map
    experiment = load(retinanet).experiment
    assert tuple(json.loads(facts["class_names"])) == experiment.class_names
    assert tuple(json.loads(facts["pixel_mean"])) == experiment.model.input_pixels.mean
    assert facts["channel_order"] == "rgb"


def test_a_detector_that_differs_is_not_written(
    detzoo: Run, retinanet: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MAX_BOX_DIFFERENCE", -1.0)
    outcome = detzoo("export", retinanet, *ARGUMENTS, "--images", scenes / "val")
    assert_refused(outcome, "does not detect what the original does")
    assert not list(Path().glob("*.onnx*"))


def test_refused(detzoo: Run, retinanet: Path) -> None:
    assert_refused(detzoo("export", retinanet, "--out", "model.trt"), "ends in .onnx")
    assert_refused(detzoo("export", retinanet, "--out", "no/model.onnx"), "no folder no")
    Path("other.onnx").write_bytes(b"not a model")
    assert_refused(detzoo("predict", "other.onnx", "."), "other.onnx: ONNX Runtime cannot open it")
    assert_refused(detzoo("predict", "absent.onnx", "."), "absent.onnx: no such file")


def test_training_and_augmentation(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    assert detzoo("export", retinanet, *ARGUMENTS).code == 0
    outcome = detzoo("predict", "model.onnx", scenes / "val", "--tta-flip")
    assert_refused(outcome, "no test-time augmentation")
    model = load("model.onnx").model
    with pytest.raises(ValueError, match="cannot be trained"):
        model(torch.zeros(1), [])
