"""A small RetinaNet of MMDetection 2.x: its configuration, and checkpoints as V2 writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detzoo.mmdet import experiment_of
from tests.mmdet.config_dump import dump

NORM = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
CLASSES = ("circle", "square", "cow", "star")


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
            "base_channels": 8,
            "num_stages": 4,
            "out_indices": (0, 1, 2, 3),
            "frozen_stages": 1,
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "norm_eval": True,
            "style": "pytorch",
        },
        "neck": {
            "type": "FPN",
            "in_channels": [8, 16, 32, 64],
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
    """Weights as they are before training, but for scores around one half."""
    torch.manual_seed(0)
    state = experiment_of(CONFIG, "test").build_model().state_dict()
    return {**state, "bbox_head.retina_cls.bias": torch.zeros(9 * len(CLASSES))}


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
