"""Files of MMDetection 3.x, of which detecting is read, and of 1.x, of which weights are."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detzoo import zoo
from detzoo.checkpoints import checkpoint
from detzoo.config import diff
from detzoo.errors import CheckpointError, ConfigError
from detzoo.mmdet import Imported, import_file, read_config
from detzoo.mmdet.renames import current_names
from detzoo.mmdet.version1_weights import upgraded
from tests.mmdet.config_dump import dump
from tests.mmdet.published import published_configs
from tests.mmdet.retinanet import state

PREPROCESSOR = (
    "dict(type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], "
    "std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=32)"
)
RESIZE = "dict(type='Resize', scale=(1333, 800), keep_ratio=True)"


def as_version3(
    folder: Path,
    entry: str,
    *,
    pixels: str = PREPROCESSOR,
    steps: str = RESIZE,
    data: str = "",
    more: str = "",
) -> Imported:
    """The model of a published file of 2.x in a file of 3.x, and what is imported of it."""
    model = read_config(published_configs() / f"{entry}.py")["model"]
    model.pop("pretrained", None)
    path = folder / "newer.py"
    path.write_text(
        f"{dump({'model': model})}\nmodel['data_preprocessor'] = {pixels}\n"
        "test_pipeline = [dict(type='LoadImageFromFile', backend_args=None), "
        f"{steps}, dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]\n"
        "val_dataloader = dict(batch_size=1, dataset=dict(type='CocoDataset', "
        f"pipeline=test_pipeline{data}))\n"
        "test_dataloader = val_dataloader\n"
        "train_dataloader = dict(batch_size=2)\n"
        f"optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))\n{more}\n"
    )
    return import_file(path)


@pytest.mark.parametrize(
    "entry", ["retinanet/retinanet_r50_fpn_1x_coco", "mask_rcnn/mask_rcnn_r50_fpn_1x_coco"]
)
def test_model_and_test_pipeline_are_those_of_2(tmp_path: Path, entry: str) -> None:
    found = as_version3(tmp_path, entry)
    published = zoo.find(entry.partition("/")[2]).experiment
    assert diff(found.experiment.model, published.model) == []
    assert found.experiment.data.test_transforms == published.data.test_transforms
    assert found.experiment.class_names == published.class_names
    assert [one.path for one in found.obstacles] == ["train_dataloader"]
    with pytest.raises(ConfigError, match=r"newer.py: train_dataloader: .*MMDetection 3.x"):
        found.to_train()


RETINANET = "retinanet/retinanet_r50_fpn_1x_coco"


def test_scopes_classes_and_padding(tmp_path: Path) -> None:
    found = as_version3(
        tmp_path,
        RETINANET,
        pixels=PREPROCESSOR.replace("pad_size_divisor=32", "pad_size_divisor=1"),
        data=", metainfo=dict(classes=('cat', 'dog'))",
        more="model['backbone']['type'] = 'mmdet.ResNet'\nmodel['backbone']['_scope_'] = 'mmdet'\n"
        "model['bbox_head']['num_classes'] = 2",
    )
    assert found.experiment.class_names == ("cat", "dog")
    assert [type(one).__name__ for one in found.experiment.data.test_transforms] == ["Resize"]


def test_gray_squares_and_no_normalization(tmp_path: Path) -> None:
    """As YOLOX has them."""
    square = "dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0)))"
    found = as_version3(
        tmp_path,
        RETINANET,
        pixels="dict(type='DetDataPreprocessor', pad_size_divisor=32)",
        steps=f"{RESIZE}, {square}",
    )
    pixels: Any = found.experiment.model.input_pixels
    assert (pixels.mean, pixels.std, pixels.padding) == ((0.0,) * 3, (1.0,) * 3, 114.0)


def test_values_of_base_files(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("a = dict(b=dict(c=[1, 2]))\nd = dict(e=1, f=2)\n")
    path = tmp_path / "mine.py"
    path.write_text("_base_ = ['base.py']\nx = dict(y=_base_.a.b.c)\n_base_.d.e = 3\n")
    read = read_config(path)
    assert read["x"] == {"y": [1, 2]}
    assert read["d"] == {"e": 3, "f": 2}
    path.write_text("_base_ = ['base.py']\nx = _base_.a.z\n")
    with pytest.raises(ConfigError, match=r"_base_.a.z: no base file defines it"):
        read_config(path)
    path.write_text("_base_ = ['base.py']\nx = d.e\n")
    with pytest.raises(ConfigError, match=r"line 2: "):
        read_config(path)


def losses_of_mmengine(monkeypatch: pytest.MonkeyPatch) -> object:
    """An object of the class that checkpoints of 3.x hold beside the weights."""
    parts = ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer")
    for name in parts:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    buffer: Any = type("HistoryBuffer", (), {"__module__": parts[-1]})
    monkeypatch.setattr(sys.modules[parts[-1]], "HistoryBuffer", buffer, raising=False)
    made = buffer()
    made.history = np.ones(3)
    return made


def test_checkpoints_of_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_version3(tmp_path, RETINANET, more="model['bbox_head']['num_classes'] = 3")
    text = (tmp_path / "newer.py").read_text()
    names = ("cat", "dog", "cow")
    meta = {"mmengine_version": "0.10.3", "cfg": text, "dataset_meta": {"classes": names}}
    path = tmp_path / "epoch_12.pth"
    with monkeypatch.context() as patch:
        losses = {"log_scalars": {"train/loss": losses_of_mmengine(patch)}}
        torch.save({"meta": meta, "state_dict": state(), "message_hub": losses}, path)
    found = checkpoint.read(path)
    assert found.experiment.class_names == names
    assert found.model.keys() == state().keys()
    meta["dataset_meta"] = {"CLASSES": names}
    meta["mmdet_version"] = "4.0.0"
    del meta["mmengine_version"]
    torch.save({"meta": meta, "state_dict": state()}, path)
    with pytest.raises(CheckpointError, match=r"4.0.0; files of 1.x to 3.x are read here"):
        checkpoint.read(path)


OLD = [
    ("faster_rcnn/faster_rcnn_r50_fpn_1x_coco",
     "model = dict(rpn_head=dict(anchor_scales=[8]))", r"model\.rpn_head\.anchor_scales"),
    ("faster_rcnn/faster_rcnn_r50_fpn_1x_coco",
     "model = dict(bbox_roi_extractor=dict(type='SingleRoIExtractor'))", "bbox_roi_extractor"),
    ("fcos/fcos_r50_caffe_fpn_gn-head_1x_coco",
     "model = dict(pretrained='x.pth', bbox_head=dict(num_classes=81))", "num_classes is 81"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "text", "sign"), OLD)
def test_files_of_1_are_told_apart(tmp_path: Path, entry: str, text: str, sign: str) -> None:
    path = tmp_path / "older.py"
    path.write_text(f"_base_ = {str(published_configs() / f'{entry}.py')!r}\n{text}\n")
    with pytest.raises(ConfigError, match=rf"older.py: model: is that of MMDetection 1.x .*{sign}"):
        import_file(path)


def layout_of_1(name: str, value: torch.Tensor, entry: str) -> tuple[str, torch.Tensor]:
    """What 1.x called a tensor, and its rows there."""
    background = torch.full_like(value[:1], -1)
    if name.endswith(("fc_cls.weight", "fc_cls.bias")):
        value = torch.cat([value[-1:], value[:-1]])
    elif ".fc_reg." in name and len(value) > 4:
        value = torch.cat([background.expand(4, *value.shape[1:]), value])
    elif ".conv_logits." in name:
        value = torch.cat([background, value])
    elif entry.startswith("ssd"):
        name = re.sub(r"(_convs\.\d)\.0\.", r"\1.", name)
        name = name.replace("neck.l2_norm", "backbone.l2_norm")
        if "cls_convs" in name:
            value = value.view(-1, 81, *value.shape[1:]).roll(1, 1).flatten(0, 1)
    return name.removeprefix("roi_head."), value


@pytest.mark.parametrize(
    "entry",
    [
        "faster_rcnn_r50_fpn_1x_coco_v1",
        "mask_rcnn_r50_fpn_1x_coco_v1",
        "cascade_mask_rcnn_r50_fpn_1x_coco_v1",
        "retinanet_r50_fpn_1x_coco_v1",
        "ssd300_coco_v1",
    ],
)
def test_weights_of_1(entry: str) -> None:
    """Each tensor is reduced to the numbers of its rows."""
    with torch.device("meta"):
        shapes = zoo.find(entry).experiment.build_model().state_dict()
    names = [name for name in shapes if "neck.extra" not in name]  # which SSD had elsewhere
    rows = {name: torch.arange(len(shapes[name])) for name in names if shapes[name].ndim}
    old = dict(layout_of_1(name, value, entry) for name, value in rows.items())
    found = current_names(upgraded(old, tuple("x" * 80), "x.pth"))
    assert found.keys() == rows.keys()
    for name, value in rows.items():
        assert found[name].tolist() == value.tolist(), name


def test_an_ssd_of_1_that_does_not_know_its_classes() -> None:
    with pytest.raises(CheckpointError, match=r"x.pth: was written by .* how many classes"):
        upgraded({"backbone.l2_norm.weight": torch.zeros(1)}, None, "x.pth")
