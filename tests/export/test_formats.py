"""Detectors of the zoo in other runtimes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from detzoo.detectors.solo import SOLOConfig
from detzoo.detectors.sparse import SparseConfig
from detzoo.errors import ConfigError
from detzoo.export import program
from detzoo.export.formats import FORMATS, Format, check_precision, find_format
from detzoo.export.static import StaticDetector
from detzoo.inference.exported import Details, ExportPrecision
from detzoo.inference.runtimes import open_exported
from detzoo.zoo.entry import Entry
from tests.detectors.zoo_models import build, certain, images, one_per_head
from tests.export.outputs import ROUNDING, ROUNDING_OF_STAGES, assert_same
from tests.export.test_static import distinct, entry_of, sizes_of

# One per kind of detector and suppression, and one with deformable convolutions.
NAMES = (
    "atss_r50_fpn_1x_coco",
    "yolox_nano_8x8_300e_coco",
    "centernet_resnet18_140e_coco",
    "faster_rcnn_r50_fpn_carafe_1x_coco",
    "mask_rcnn_mobilenetv2_fpn",
    "htc_hrnetv2p_w18_20e_coco",
    "reppoints_moment_r50_fpn_1x_coco",
    "detr_r50_8x2_150e_coco",
    "queryinst_r50_fpn_1x_coco",
    "solov2_light_r18_fpn_3x_coco",
    "decoupled_solo_light_r50_fpn_3x_coco",
    "yolact_r50_1x8_coco",
    "panoptic_fpn_r50_fpn_1x_coco",
    "maskformer_r50_mstrain_16x1_75e_coco",
)
ENTRIES = [pytest.param(e, id=e.name) for e in one_per_head() if e.name in NAMES]
ONNX, OPENVINO, TORCH, AOTI = FORMATS


def check(entry: Entry, kind: Format, folder: Path) -> None:
    model, batch = distinct(certain(build(entry))), images(2)
    static, sizes = StaticDetector(model), sizes_of(batch)
    size = (batch.pixels.shape[2], batch.pixels.shape[3])
    details = Details(
        entry.experiment,
        size,
        batch_size=2,
        masks=static.mask_kind,
        mask_threshold=static.mask_threshold,
    )
    file = folder / f"model{kind.suffix}"
    kind.write(program.capture(static, details), file, details, None)
    opened = open_exported(file, trust=True)
    assert opened.details == details
    outputs = opened.run(batch.pixels.contiguous().numpy(), sizes.numpy())
    with torch.no_grad():
        expected = static(batch.pixels, sizes)
    assert expected.num.sum() > 0 or expected.segments is not None
    exact = not isinstance(entry.experiment.model, SOLOConfig)
    has_stages = isinstance(entry.experiment.model, SparseConfig)
    assert_same(outputs, expected, exact, ROUNDING_OF_STAGES if has_stages else ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", [ONNX, OPENVINO], ids=lambda kind: kind.name)
def test_same_detections(entry: Entry, kind: Format, tmp_path: Path) -> None:
    check(entry, kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_the_same_in_an_exported_program(entry: Entry, tmp_path: Path) -> None:
    check(entry, TORCH, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_the_same_compiled(tmp_path: Path) -> None:
    check(entry_of("mask_rcnn_mobilenetv2_fpn"), AOTI, tmp_path)


def test_the_ending_says_the_format() -> None:
    assert find_format(None, Path("model.pt2")) is TORCH
    assert find_format("aoti", Path("model.pt2")) is AOTI
    assert OPENVINO.files(Path("a/b.xml")) == [Path("a/b.xml"), Path("a/b.bin")]
    for name, file, message in (
        (None, "model.trt", "one of .onnx, .pt2, .xml"),
        ("tensorrt", "model.onnx", "is not one of onnx, openvino, torch, aoti"),
        ("torch", "model.onnx", "files of --format torch end in .pt2"),
    ):
        with pytest.raises(ConfigError, match=message):
            find_format(name, Path(file))


def test_precisions() -> None:
    assert check_precision("fp16", TORCH) == "fp16"
    assert TORCH.captured_in("bf16") == "bf16"
    assert OPENVINO.captured_in("bf16") == "fp32"  # by a setting of its own
    assert ONNX.captured_in("int8") == "fp32"
    with pytest.raises(ConfigError, match="--precision int8: --format aoti has fp32"):
        check_precision("int8", AOTI)


# One with group norms, and one with two stages.
NORMS, STAGES = "fcos_hrnetv2p_w18_gn-head_4x4_1x_coco", "mask_rcnn_mobilenetv2_fpn"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "precision", "name"),
    [
        (ONNX, "fp16", NORMS),
        (ONNX, "fp16", STAGES),
        (OPENVINO, "fp16", STAGES),
        (OPENVINO, "bf16", NORMS),
        (TORCH, "fp16", STAGES),
        (TORCH, "bf16", NORMS),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_low_precision(kind: Format, precision: ExportPrecision, name: str, tmp_path: Path) -> None:
    """Scores are nearly those of fp32, and not the same."""
    entry = entry_of(name)
    model, batch = distinct(certain(build(entry))), images(1)
    static, sizes = StaticDetector(model), sizes_of(batch)
    size = (batch.pixels.shape[2], batch.pixels.shape[3])
    details = Details(entry.experiment, size, precision=precision)
    file = tmp_path / f"model{kind.suffix}"
    exported = program.capture(static, details, kind.captured_in(precision))
    kind.write(exported, file, details, None)
    outputs = open_exported(file, trust=True).run(batch.pixels.contiguous().numpy(), sizes.numpy())
    with torch.no_grad():
        expected = static(batch.pixels, sizes)
    gap = (torch.from_numpy(outputs[1]) - expected.scores).abs().max()
    assert gap < 0.02
    assert gap > 1e-6 or (kind, precision) == (OPENVINO, "bf16")  # where the processor has it


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
        AOTI.write(None, tmp_path / "model.pt2", None, None)  # type: ignore[arg-type]
