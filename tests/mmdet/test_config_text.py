from __future__ import annotations

import math
from pathlib import Path

import pytest

from detzoo.errors import ConfigError
from detzoo.mmdet.config_text import parse_config
from detzoo.mmdet.read_config import merge_settings, read_config
from detzoo.weights.files import read_file
from tests.mmdet.config_dump import dump
from tests.mmdet.published import published_configs
from tests.shared import shared


def test_what_mmdetection_prints() -> None:
    text = """
optimizer = dict(type='SGD', lr=0.01, nesterov=True)
log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook')])
load_from = None
workflow = [('train', 1)]
gpu_ids = range(0, 2)
model = dict(
    type='X',
    ratios=(-1, 0.5, 1e8),
    ranges=((-1, 64), (64, inf)),
    paramwise_cfg=dict(custom_keys=dict({'backbone.conv1': dict(lr_mult=0.1)})),
    pad_val=dict(img=(114.0, 114.0, 114.0)))
"""
    assert parse_config(text, "x.pth") == {
        "optimizer": {"type": "SGD", "lr": 0.01, "nesterov": True},
        "log_config": {"interval": 50, "hooks": [{"type": "TextLoggerHook"}]},
        "load_from": None,
        "workflow": [("train", 1)],
        "gpu_ids": [0, 1],
        "model": {
            "type": "X",
            "ratios": (-1, 0.5, 1e8),
            "ranges": ((-1, 64), (64, math.inf)),
            "paramwise_cfg": {"custom_keys": {"backbone.conv1": {"lr_mult": 0.1}}},
            "pad_val": {"img": (114.0, 114.0, 114.0)},
        },
    }


FILES = """/home/somebody/configs/_base_/models/retinanet_r50_fpn.py
# model settings
model = dict(
    type='RetinaNet',
    pretrained='torchvision://resnet50',
    backbone=dict(type='ResNet', depth=50),
    neck=dict(type='FPN', num_outs=5))

/home/somebody/configs/_base_/datasets/coco_detection.py
data_root = 'data/coco/'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Normalize', **img_norm_cfg),
]
data = dict(
    train=dict(ann_file=data_root + 'train.json', pipeline=train_pipeline),
    val=dict(pipeline=train_pipeline))

configs/retinanet-new/retinanet_r101_fpn.py
_base_ = [
    '../_base_/models/retinanet_r50_fpn.py', '../_base_/datasets/coco_detection.py'
]
'''A comment in the form of text.'''
model = dict(
    pretrained='torchvision://resnet101',
    backbone=dict(depth=101),
    neck=dict(_delete_=True, type='PAFPN'))
optimizer = dict(lr=0.02 / 8, steps=[8] * 3)
"""


def test_what_its_first_versions_saved() -> None:
    """The files one after another, bases first, each below a line with its path."""
    found = parse_config(FILES, "x.pth")
    assert found["model"] == {
        "type": "RetinaNet",
        "pretrained": "torchvision://resnet101",
        "backbone": {"type": "ResNet", "depth": 101},
        "neck": {"type": "PAFPN"},
    }
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "to_rgb": True},
    ]
    assert found["data"]["train"] == {"ann_file": "data/coco/train.json", "pipeline": pipeline}
    assert found["optimizer"] == {"lr": 0.0025, "steps": [8, 8, 8]}
    assert "_base_" not in found
    first, second = found["data"]["train"]["pipeline"], found["data"]["val"]["pipeline"]
    assert first == second
    assert first[1] is not second[1]  # Nothing is shared.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = __import__('os')", "line 2: \"__import__('os')\" is more than settings"),
        ("a.py\nx = 1\nconfigs/b.py\n\nx = print", "line 5: NameError: name 'print'"),
        ("x = dict(", "line 1: '(' was never closed"),
        ("a.py\nx = [1]\n" + "x = x + x\n" * 17 + "b.py\nx = [1]\n" + "x = x + x\n" * 20, "many"),
    ],
)
def test_lines_are_those_of_the_text(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "x.pth")
    assert str(error.value).startswith("x.pth: the configuration inside")
    assert message in str(error.value)


def test_merge() -> None:
    base = {"a": {"b": 1, "c": {"d": 2}}, "e": 3, "f": [1]}
    change = {"a": {"c": {"d": 4, "g": 5}}, "e": {"_delete_": True, "h": 6}, "f": None}
    assert merge_settings(base, change, "x.pth") == {
        "a": {"b": 1, "c": {"d": 4, "g": 5}},
        "e": {"h": 6},
        "f": None,
    }
    assert base["a"] == {"b": 1, "c": {"d": 2}}


@pytest.mark.parametrize("file", ["yolox_nano_8x8_300e_coco.pth", "yunet_n_mmdet2.24.pth"])
def test_texts_that_mmdetection_wrote(file: str) -> None:
    meta = read_file(shared("weights", file))["meta"]
    found = parse_config(meta["config"], file)
    assert found["model"]["type"] in ("YOLOX", "YuNet")
    assert parse_config(dump(found), file) == found


def test_every_published_configuration_survives_its_text() -> None:
    folder: Path = published_configs()
    paths = sorted(folder.glob("*/*_coco.py"))
    assert len(paths) > 300
    for path in paths[::10]:
        config = read_config(path)
        assert parse_config(dump(config), path.name) == config, path.name
