from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import detzoo
from detzoo import zoo
from detzoo.checkpoint import read, read_weights
from detzoo.errors import CheckpointError, ConfigError
from detzoo.mmdet import experiment_of
from detzoo.mmdet.checkpoint import interpret, is_v2
from detzoo.weights.files import read_file
from tests.mmdet.config_dump import dump
from tests.shared import shared

NORM = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
CLASSES = ("cat", "dog", "cow")


def pipeline(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "LoadImageFromFile"},
        *steps,
        {"type": "Collect", "keys": ["img", "gt_bboxes", "gt_labels"]},
    ]


TEST = [
    {"type": "Resize", "keep_ratio": True},
    {"type": "RandomFlip"},
    {"type": "Normalize", **NORM},
    {"type": "Pad", "size_divisor": 32},
    {"type": "ImageToTensor", "keys": ["img"]},
    {"type": "Collect", "keys": ["img"]},
]
TEST_PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "MultiScaleFlipAug", "img_scale": (64, 64), "flip": False, "transforms": TEST},
]
TRAIN_PIPELINE = pipeline(
    {"type": "LoadAnnotations", "with_bbox": True},
    {"type": "Resize", "img_scale": (64, 64), "keep_ratio": True},
    {"type": "RandomFlip", "flip_ratio": 0.5},
    {"type": "Normalize", **NORM},
    {"type": "Pad", "size_divisor": 32},
    {"type": "DefaultFormatBundle"},
)
DATA = {"type": "CocoDataset", "classes": CLASSES, "ann_file": "a.json", "img_prefix": "images/"}
CONFIG = {
    "model": {
        "type": "RetinaNet",
        "backbone": {
            "type": "ResNet",
            "depth": 18,
            "base_channels": 4,
            "num_stages": 4,
            "out_indices": (0, 1, 2, 3),
            "frozen_stages": 1,
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "norm_eval": True,
            "style": "pytorch",
        },
        "neck": {
            "type": "FPN",
            "in_channels": [4, 8, 16, 32],
            "out_channels": 8,
            "start_level": 1,
            "add_extra_convs": "on_input",
            "num_outs": 5,
        },
        "bbox_head": {
            "type": "RetinaHead",
            "num_classes": len(CLASSES),
            "in_channels": 8,
            "stacked_convs": 1,
            "feat_channels": 8,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "octave_base_scale": 4,
                "scales_per_octave": 3,
                "ratios": [0.5, 1.0, 2.0],
                "strides": [8, 16, 32, 64, 128],
            },
            "bbox_coder": {
                "type": "DeltaXYWHBBoxCoder",
                "target_means": [0.0, 0.0, 0.0, 0.0],
                "target_stds": [1.0, 1.0, 1.0, 1.0],
            },
            "loss_cls": {
                "type": "FocalLoss",
                "use_sigmoid": True,
                "gamma": 2.0,
                "alpha": 0.25,
                "loss_weight": 1.0,
            },
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "train_cfg": {
            "assigner": {
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.5,
                "neg_iou_thr": 0.4,
                "min_pos_iou": 0,
                "ignore_iof_thr": -1,
            },
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "test_cfg": {
            "nms_pre": 1000,
            "min_bbox_size": 0,
            "score_thr": 0.05,
            "nms": {"type": "nms", "iou_threshold": 0.5},
            "max_per_img": 100,
        },
    },
    "dataset_type": "CocoDataset",
    "data": {
        "samples_per_gpu": 2,
        "workers_per_gpu": 2,
        "train": {**DATA, "pipeline": TRAIN_PIPELINE},
        "val": {**DATA, "pipeline": TEST_PIPELINE},
        "test": {**DATA, "pipeline": TEST_PIPELINE},
    },
    "evaluation": {"interval": 1, "metric": "bbox"},
    "optimizer": {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001},
    "optimizer_config": {"grad_clip": None},
    "lr_config": {
        "policy": "step",
        "warmup": "linear",
        "warmup_iters": 500,
        "warmup_ratio": 0.001,
        "step": [8, 11],
    },
    "runner": {"type": "EpochBasedRunner", "max_epochs": 12},
    "checkpoint_config": {"interval": 1},
    "log_config": {"interval": 50, "hooks": [{"type": "TextLoggerHook"}]},
    "log_level": "INFO",
    "load_from": None,
    "resume_from": None,
    "workflow": [("train", 1)],
    "work_dir": "./work_dirs/retinanet",
    "gpu_ids": range(1),
}


def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = experiment_of(CONFIG, "test").build_model()
    return {name: torch.rand_like(v.float()).to(v) for name, v in model.state_dict().items()}


def write(path: Path, tensors: dict[str, Tensor], **meta: Any) -> Path:
    """A checkpoint in the form that MMDetection 2.x gives it."""
    meta = {
        "mmdet_version": "2.24.1+abcdef0",
        "mmcv_version": "1.5.0",
        "env_info": "sys.platform: linux",
        "CLASSES": CLASSES,
        "config": dump(CONFIG),
        "epoch": 12,
        "iter": 87960,
        "time": "Tue Oct 25 16:37:58 2022",
        "hook_msgs": {"best_score": np.float64(0.5), "best_ckpt": "epoch_11.pth"},
        **meta,
    }
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    content = {"meta": meta, "state_dict": tensors, "optimizer": optimizer}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "retinanet.pth", state())


def test_a_checkpoint_alone_is_a_detector(file: Path) -> None:
    detector = detzoo.load(file, device="cpu")
    assert detector.class_names == CLASSES
    assert detector.experiment == experiment_of(CONFIG, "test")
    loaded = detector.model.state_dict()
    for name, value in state().items():
        assert torch.equal(loaded[name], value), name
    (result,) = detector.predict(np.zeros((48, 64, 3), np.uint8), min_score=0)
    assert set(result.names) <= set(CLASSES)


def test_what_the_file_says(file: Path) -> None:
    content = read_file(file)
    assert is_v2(content)
    found = interpret(content, file)
    assert (found.version, found.epoch, found.iteration) == ("2.24.1+abcdef0", 12, 87960)
    assert found.class_names == CLASSES
    assert found.config()["runner"] == CONFIG["runner"]


def test_the_class_names_are_those_of_the_file(tmp_path: Path) -> None:
    """Of the data that it was trained on: the configuration may name another file's."""
    file = write(tmp_path / "x.pth", state(), CLASSES=["a", "b", "c"])
    assert read(file).class_names == ("a", "b", "c")
    assert read(write(tmp_path / "x.pth", state(), CLASSES=None)).class_names == CLASSES
    with pytest.raises(CheckpointError, match=r"x\.pth: its class names .* are 3"):
        read(write(tmp_path / "x.pth", state(), CLASSES=3))


def test_the_averages_of_an_ema_hook_are_left_out(tmp_path: Path) -> None:
    tensors = state()
    twice = {**tensors, **{f"ema_{n.replace('.', '_')}": v + 1 for n, v in tensors.items()}}
    assert detzoo.load(write(tmp_path / "x.pth", twice), device="cpu")
    assert set(read_weights(tmp_path / "x.pth").tensors) == set(tensors)


@pytest.mark.parametrize("version", ["1.2.0", "0.6.0+abc", "1.0rc1"])
def test_files_before_2_0_are_refused_with_the_reason(tmp_path: Path, version: str) -> None:
    file = write(tmp_path / "x.pth", state(), mmdet_version=version)
    for reading in (read, read_weights):
        with pytest.raises(CheckpointError, match=r"^.*x\.pth: .*background") as error:
            reading(file)
        assert f"MMDetection {version}. " in str(error.value)


def test_files_since_3_0_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "x.pth", state(), mmdet_version="3.1.0")
    with pytest.raises(CheckpointError, match=r"MMDetection 3\.1\.0; files of version 2"):
        read(file)


def test_the_zoo_has_files_of_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained with a development version that called itself 1.x, but laid out as in 2.0."""
    file = write(tmp_path / "x.pth", state(), mmdet_version="1.1.0+abc")
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file = file.rename(tmp_path / f"retinanet-{digits}.pth")
    with pytest.raises(CheckpointError, match="background"):
        read(file)
    entry = zoo.entry.Entry("x", zoo.entries()[0].experiment, weights=file.name)
    monkeypatch.setattr(zoo, "entries", lambda: (entry,))
    assert read(file).class_names == CLASSES
    file.write_bytes(write(tmp_path / "y.pth", {}, mmdet_version="1.1.0").read_bytes())
    with pytest.raises(CheckpointError, match="background"):
        read(file)  # the name alone does not vouch for it


def test_a_configuration_that_is_code(tmp_path: Path) -> None:
    code = f"model = open({str(tmp_path / 'executed')!r}, 'w')\n"
    file = write(tmp_path / "x.pth", state(), config=code)
    with pytest.raises(ConfigError, match=r"x\.pth: .*line 1.*--weights"):
        read(file)
    assert not (tmp_path / "executed").exists()
    assert set(read_weights(file).tensors) == set(state())


def test_a_file_without_configuration(tmp_path: Path) -> None:
    file = write(tmp_path / "x.pth", state(), config=None)
    with pytest.raises(CheckpointError, match=r"x\.pth: names no configuration.*--weights"):
        read(file)


def test_missing_and_unknown_names_are_reported(tmp_path: Path) -> None:
    tensors = state()
    tensors["bbox_head.new"] = tensors.pop("bbox_head.retina_reg.bias")
    file = write(tmp_path / "x.pth", tensors)
    with pytest.raises(CheckpointError) as error:
        detzoo.load(file)
    assert "missing bbox_head.retina_reg.bias" in str(error.value)
    assert "unknown bbox_head.new" in str(error.value)


def test_weights_converted_to_safetensors(tmp_path: Path) -> None:
    """Bare weights, in V2's old names."""
    tensors = {"bbox_head.fcos_cls.weight": torch.ones(2)}
    save_file(tensors, tmp_path / "x.safetensors")
    found = read_weights(tmp_path / "x.safetensors")
    assert found.class_names is None
    assert list(found.tensors) == ["bbox_head.conv_cls.weight"]


def test_a_checkpoint_that_mmdetection_wrote() -> None:
    found = interpret(read_file(shared("weights", "yunet_n_mmdet2.24.pth")), "yunet.pth")
    assert (found.version, found.epoch, found.iteration) == ("2.24.1fe4ffb6", 560, 225680)
    assert found.class_names == ("FG",)
    assert len(found.tensors) == 208
    assert found.config()["model"]["bbox_head"]["kps_num"] == 5


def test_the_real_yolox_is_a_detector() -> None:
    detector = detzoo.load(shared("weights", "yolox_nano_8x8_300e_coco.pth"), device="cpu")
    assert detector.class_names[:2] == ("person", "bicycle")
