from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.cli import export as command
from detzoo.cli.main import run
from detzoo.data.locate import open_dataset
from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.solo import SOLOConfig
from detzoo.errors import ConfigError, ExportError
from detzoo.evaluate.metrics import Metrics
from detzoo.export import verify
from detzoo.heads.mask_grid.solo import SOLOHeadConfig
from detzoo.inference.loading import load
from detzoo.inference.predictor import Predictor
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.quickstart.scenes import CLASSES, draw_scene
from detzoo.structures import ImageBatch
from tests.cli.conftest import FIT, Run, assert_refused
from tests.tiny import BACKBONE, tiny_mask_rcnn, tiny_retinanet

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


def cells(folder: Path) -> Path:
    """A checkpoint of a SOLO that finds something."""
    head = SOLOHeadConfig(
        num_convs=1,
        channels=8,
        grids=(8, 6, 4, 3, 2),
        norm=GroupNormConfig(groups=2),
    )
    model = SOLOConfig(backbone=BACKBONE, neck=FPNConfig(out_channels=8), mask_head=head)
    experiment = replace(tiny_mask_rcnn(CLASSES, FIT), model=model)
    torch.manual_seed(0)
    detector = experiment.build_model()
    for part in ("conv_cls", *(f"conv_mask_list.{level}" for level in range(5))):
        torch.nn.init.normal_(detector.get_parameter(f"mask_head.{part}.weight"))
        torch.nn.init.zeros_(detector.get_parameter(f"mask_head.{part}.bias"))
    file = folder / "solo.pt"
    save(file, Checkpoint(experiment, detector.state_dict()))
    return file


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("form", ["grid", "full"])
@pytest.mark.parametrize("kind", ["boxes", "image"])
def test_masks(
    detzoo: Run,
    mask_rcnn: Path,
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    kind: str,
) -> None:
    if kind == "image":
        # Random weights rate hundreds of cells nearly the same: rounding decides which of them
        # suppress others. What was trained has no such excuse.
        monkeypatch.setattr(verify, "TIED_SCORE", float("inf"))
        monkeypatch.setattr(verify, "TIED_IOU", 0.0)
    source = mask_rcnn if kind == "boxes" else cells(tmp_path)
    val = scenes / "val"
    given = ("--images", val, "--masks", form, "--max-candidates", 1000)
    outcome = detzoo("export", source, *ARGUMENTS, "model.onnx", *given)
    assert outcome.code == 0, outcome
    assert "wrote model.onnx" in outcome.out
    assert "of their pixels" in outcome.out
    assert [file.name for file in Path().glob("*.onnx*")] == ["model.onnx"]
    (shape,) = (
        one.shape
        for one in onnxruntime.InferenceSession("model.onnx").get_outputs()
        if one.name == "masks"
    )
    assert (shape[2:] == [64, 96]) == (form == "full")
    outcome = detzoo("predict", "model.onnx", val, "--json", "found.json", *LOW)
    assert outcome.code == 0, outcome
    found = json.loads(Path("found.json").read_text())
    assert all("mask" in detection for image in found for detection in image["detections"])
    assert any(image["detections"] for image in found)


@pytest.mark.slow
def test_openvino(detzoo: Run, detecting: Path, scenes: Path) -> None:
    outcome = detzoo("export", detecting, *ARGUMENTS, "model.xml", "--images", scenes / "val")
    assert outcome.code == 0, outcome
    assert sorted(file.name for file in Path().iterdir()) == ["model.bin", "model.xml"]
    outcome = detzoo("test", "model.xml", "--data", scenes, "--json", "metrics.json")
    assert outcome.code == 0, outcome
    assert "bbox/AP" in json.loads(Path("metrics.json").read_text())["metrics"]


@pytest.mark.slow
@pytest.mark.ci
def test_an_exported_program(detzoo: Run, detecting: Path, scenes: Path) -> None:
    val = scenes / "val"
    arguments = ("--dynamic", "--size", 320, 288, "--images", val, "--out", "model.pt2")
    outcome = detzoo("export", detecting, *arguments)
    assert outcome.code == 0, outcome
    assert "1 x 3 x 256..320 x 256..288" in outcome.out
    assert_refused(detzoo("predict", "model.pt2", val), "can do anything", "--trust")
    outcome = detzoo("predict", "model.pt2", val, "--trust", "--json", "found.json", *LOW)
    assert outcome.code == 0, outcome
    assert all(image["detections"] for image in json.loads(Path("found.json").read_text()))


@pytest.mark.slow
def test_up_to_a_number_of_images(detzoo: Run, detecting: Path, scenes: Path) -> None:
    """Both ends are compared; images arrive as many as there are."""
    given = (detecting, "--size", 64, 96, "--batch-size", "1..3", "--images", scenes / "train")
    outcome = detzoo("export", *given, "--out", "model.onnx")
    assert outcome.code == 0, outcome
    assert "compared with the original:" in outcome.out
    assert "compared with the original in batches of 3:" in outcome.out
    assert "1..3 x 3 x 64 x 96" in outcome.out
    loaded = load("model.onnx")
    counts = []
    runs = loaded.model.run

    def run(pixels: np.ndarray, sizes: np.ndarray) -> Sequence[np.ndarray]:
        counts.append(len(pixels))
        return runs(pixels, sizes)

    loaded.model.run = run
    files = sorted((scenes / "train").glob("*.png"))[:5]
    found = list(loaded.predict(files, batch_size=4, min_score=0.0))
    assert counts == [3, 1, 1]  # of four at a time, and the last
    for result, file in zip(found, files):
        (alone,) = load("model.onnx").predict(file, min_score=0.0)
        assert result.names == alone.names
        torch.testing.assert_close(result.boxes, alone.boxes)


@pytest.mark.slow
def test_up_to_a_number_of_images_in_half_precision(
    detzoo: Run, detecting: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random weights exaggerate rounding.
    monkeypatch.setattr("detzoo.export.verify.LOW_SHARE", 0.5)
    given = ("--size", 64, 96, "--batch-size", "1..3", "--precision", "fp16")
    given = (*given, "--images", scenes / "train", "--out", "model.onnx")
    outcome = detzoo("export", detecting, *given)
    assert outcome.code == 0, outcome
    assert outcome.out.count("of the detections have nearly the same score and box") == 2


def test_batch_sizes() -> None:
    read = command.read_batch_size
    assert [read("8"), read("1..8"), read("1..1")] == [(8, False), (8, True), (1, False)]
    for text in ("0", "2..8", "1..", "eight", "1..0", "-1"):
        with pytest.raises(ConfigError, match=f"--batch-size {text}: is not a number of images"):
            read(text)


def test_more_candidates_than_fit(
    detzoo: Run, exported: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both commands say of how many images that is true."""
    loaded = load(exported)
    runs = loaded.model.run

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        outputs = list(runs(*inputs))
        outputs[4] = np.array([7, 0])
        return outputs

    loaded.model.run = run
    monkeypatch.setattr("detzoo.inference.loading.load", lambda *_, **__: loaded)
    outcome = detzoo("predict", exported, scenes / "val", "--batch-size", 2)
    assert "in 2 images there were more candidates than fit" in outcome.out
    outcome = detzoo("test", exported, "--data", scenes, "--batch-size", 2)
    assert "in 4 images there were more candidates than fit" in outcome.out


@pytest.mark.slow
@pytest.mark.ci
def test_fp16(detzoo: Run, detecting: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Random weights exaggerate rounding.
    monkeypatch.setattr("detzoo.export.verify.LOW_SHARE", 0.5)
    given = (detecting, *ARGUMENTS, "model.onnx", "--images", scenes / "val")
    outcome = detzoo("export", *given, "--precision", "fp16", "--data", scenes)
    assert outcome.code == 0, outcome
    assert "of the detections have nearly the same score and box" in outcome.out
    assert "bbox/AP: 0." in outcome.out
    kinds = {weight.data_type for weight in onnx.load("model.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert load("model.onnx").model.details.precision == "fp16"


@pytest.mark.slow
@pytest.mark.ci
def test_int8(detzoo: Run, detecting: Path, scenes: Path) -> None:
    """Convolutions whose result goes into another one are in int8; the last ones are not."""
    given = (detecting, *ARGUMENTS, "model.onnx", "--precision", "int8")
    outcome = detzoo("export", *given, "--images", scenes / "train", "--data", scenes)
    assert outcome.code == 0, outcome
    graph = onnx.load("model.onnx").graph
    makers = {name: node for node in graph.node for name in node.output}
    in_int8 = [
        node.input[1] in makers  # the kernel is dequantized
        for node in graph.node
        if node.op_type == "Conv"
    ]
    assert sum(in_int8) > 20
    assert not all(in_int8)
    outcome = detzoo("predict", "model.onnx", scenes / "val", *LOW)
    assert outcome.code == 0, outcome


def test_how_much_accuracy_may_be_lost(
    exported: Path, detecting: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = open_dataset(scenes, "val")
    runs = load(exported)
    trained = Predictor(runs.experiment, load(detecting, fused=False).model, fused=False)
    command.compare_accuracy(trained, runs, dataset, max_drop=0.0)
    assert "bbox/AP: " in capsys.readouterr().out
    metrics = iter((0.5, 0.48))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "detzoo.export.accuracy.accuracy",
            lambda *_: Metrics({"bbox/AP": next(metrics)}, "bbox/AP"),
        )
        with pytest.raises(ExportError, match=r"bbox/AP falls by 2.0 points"):
            command.compare_accuracy(trained, runs, dataset, max_drop=1.0)


def test_what_programs_without_detzoo_need(exported: Path, detecting: Path) -> None:
    session = onnxruntime.InferenceSession(exported)
    assert {one.name: one.shape for one in session.get_inputs()} == {
        "pixels": [2, 3, 64, 96],
        "sizes": [2, 2],
    }
    assert [one.name for one in session.get_outputs()] == [
        "boxes",
        "scores",
        "labels",
        "num",
        "left_out",
    ]
    facts = session.get_modelmeta().custom_metadata_map
    experiment = load(detecting).experiment
    assert tuple(json.loads(facts["class_names"])) == experiment.class_names
    assert tuple(json.loads(facts["pixel_mean"])) == experiment.model.input_pixels.mean
    assert facts["channel_order"] == "rgb"


def test_the_example(exported: Path, scenes: Path) -> None:
    """A program of NumPy and ONNX Runtime finds the same."""
    check_example(exported, cv2.imread(str(scenes / "val" / "0001.png")))


@pytest.mark.slow
def test_the_example_and_any_size(detzoo: Run, detecting: Path) -> None:
    """The recipe's own sizes, for either format, and a square that all images fit into."""
    own = tiny_retinanet(CLASSES, (Resize(sizes=((300, 280),)), Pad(divisor=32)))
    save(Path("own.pt"), Checkpoint(own, load(detecting, fused=False).model.state_dict()))
    for given in (("own.pt", "--size", 320, 320), (detecting, "--size", 288, 320)):
        outcome = detzoo("export", *given, "--dynamic", "--out", "model.onnx")
        assert outcome.code == 0, outcome
        for width in (200, 400, 900):
            scene, _ = draw_scene(np.random.default_rng(width), 400)
            check_example(Path("model.onnx"), cv2.resize(scene, (width, 400)))


def check_example(model: Path, picture: np.ndarray) -> None:
    path = Path(__file__).parents[2] / "examples" / "onnx_runtime.py"
    example = runpy.run_path(str(path))
    (expected,) = load(model).predict(picture, min_score=0.3)
    assert len(expected)
    session = onnxruntime.InferenceSession(model)
    names, scores, boxes = example["detect"](session, picture)
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
    assert_refused(
        detzoo("export", retinanet, "--out", "model.trt"), "the ending of the name says the format"
    )
    assert_refused(detzoo("export", retinanet, "--out", "no/model.onnx"), "no folder no")
    outcome = detzoo("export", "fast_rcnn_r50_fpn_1x_coco", "--out", "model.onnx")
    assert_refused(outcome, "this detector is given its proposals")
    outcome = detzoo("export", retinanet, "--out", "model.onnx", "--size", 60, 96)
    assert_refused(outcome, "--size 60 96: this detector needs multiples of 32; give 64 96")
    outcome = detzoo("export", retinanet, "--out", "model.onnx", "--dynamic")
    assert_refused(outcome, "--dynamic: takes sizes from 256 x 256 in steps of 32")
    outcome = detzoo("export", retinanet, "--out", "model.onnx", "--precision", "bf16")
    assert_refused(outcome, "--precision bf16: --format onnx has fp32, fp16, int8")
    outcome = detzoo("export", retinanet, "--out", "model.onnx", "--precision", "int8")
    assert_refused(outcome, "--precision int8: needs --images FOLDER", "--data DIR")
    given = ("--out", "model.onnx", "--precision", "int8", "--batch-size", "1..8")
    assert_refused(detzoo("export", retinanet, *given), "--precision int8", "--batch-size 8")
    given = ("--out", "model.pt2", "--precision", "bf16", "--batch-size", "1..8")
    assert_refused(detzoo("export", retinanet, *given), "--precision bf16", "--batch-size 8")
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
