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
from detzoo.mmdet.version3_models import names_of_version2
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


def test_of_hooks_what_changes_the_model(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text('{"structure": {"module.backbone.layer4.0.conv2": 3}}')
    limits = "mmin=1, mmax=24, num_branches=2"
    search = f"dict(step=0, max_step=11, exp_rate=0.5, init_alphas=0.01, {limits})"
    found = as_version3(
        tmp_path,
        RETINANET,
        more="custom_hooks = [dict(type='NumClassCheckHook'), dict(type='mmdet.RFSearchHook', "
        "mode='fixed_multi_branch', rfstructure_file='found.json', "
        f"config=dict(search={search}))]",
    )
    fields = found.experiment.receptive_fields
    assert fields is not None
    assert fields.dilations == (("backbone.layer4.0.conv2", 3),)


def test_values_of_base_files(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "a = dict(b=dict(c=[1, 2]))\nd = dict(e=1, f=2)\ng = [dict(h=1), dict(h=2, i=3)]\n"
    )
    path = tmp_path / "mine.py"
    path.write_text(
        "_base_ = ['base.py']\nx = dict(y=_base_.a.b.c)\n_base_.d.e = 3\n_base_.g[1].h = [4]\n"
    )
    read = read_config(path)
    assert read["g"] == [{"h": 1}, {"h": [4], "i": 3}]
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


ATTENTION = "dict(embed_dims=256, num_heads=8, dropout=0.1, batch_first=True)"
FEED = "dict(embed_dims=256, feedforward_channels={}, num_fcs=2, ffn_drop=0.1)"
# As 3.x puts DETR together; the deformable one attends otherwise to the image.
STACKS = (
    "model['encoder'] = dict(num_layers=6, layer_cfg=dict(self_attn_cfg={image}, ffn_cfg={feed}))\n"
    "model['decoder'] = dict(num_layers=6, return_intermediate=True, layer_cfg=dict("
    f"self_attn_cfg={ATTENTION}, cross_attn_cfg={{image}}, ffn_cfg={{feed}}), post_norm_cfg=None)\n"
    "head = model['bbox_head']\ndel head['transformer']\n"
    "model['positional_encoding'] = head.pop('positional_encoding')\n"
    "del model['positional_encoding']['type']\n"
    "model['train_cfg']['assigner'] = dict(type='HungarianAssigner', match_costs=["
    "model['train_cfg']['assigner'][key] for key in ('cls_cost', 'reg_cost', 'iou_cost')])\n"
)
REBUILT = [
    ("detr/detr_r50_8x2_150e_coco", STACKS.format(image=ATTENTION, feed=FEED.format(2048))
     + "model['num_queries'] = head.pop('num_query', 100)\nhead['embed_dims'] = 256\n"
     "model['neck'] = dict(type='ChannelMapper', in_channels=[2048], kernel_size=1, "
     "out_channels=256, act_cfg=None, norm_cfg=None, num_outs=1)"),
    ("deformable_detr/deformable_detr_twostage_refine_r50_16x2_50e_coco",
     STACKS.format(image="dict(embed_dims=256, batch_first=True)", feed=FEED.format(1024))
     + "model['num_queries'] = head.pop('num_query')\nmodel['num_feature_levels'] = 4\n"
     "model['as_two_stage'] = head.pop('as_two_stage')\n"
     "model['with_box_refine'] = head.pop('with_box_refine')"),
    ("yolact/yolact_r50_1x8_coco", "segm = model.pop('segm_head')\n"
     "model['mask_head'] |= dict(with_seg_branch=True, loss_segm=segm['loss_segm'])\n"
     "model['test_cfg'] |= dict(mask_thr=0.5, mask_thr_binary=0.5)"),
    ("centernet/centernet_resnet18_140e_coco", "for part in (model['neck'], model['bbox_head']):\n"
     "    part['in_channels'] = part.pop('in_channel')\n"
     "model['bbox_head']['feat_channels'] = model['bbox_head'].pop('feat_channel')"),
    ("cascade_rpn/crpn_faster_rcnn_r50_caffe_fpn_1x_coco",
     "for stage in model['rpn_head']['stages']:\n    del stage['sampling']"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "text"), REBUILT)
def test_models_that_3_puts_together_otherwise(tmp_path: Path, entry: str, text: str) -> None:
    found = as_version3(tmp_path, entry, more=text)
    published = zoo.find(entry.partition("/")[2]).experiment
    rows = diff(found.experiment.model, published.model)
    assert [row for row in rows if row[0] != "pixels"] == []  # which are those of this test


def test_names_of_3() -> None:
    stack = "bbox_head.transformer."
    names = {
        "neck.convs.0.conv.weight": "bbox_head.input_proj.weight",
        "query_embedding.weight": "bbox_head.query_embedding.weight",
        "encoder.layers.0.self_attn.attn.in_proj_bias":
            f"{stack}encoder.layers.0.attentions.0.attn.in_proj_bias",
        "encoder.layers.0.ffn.layers.1.weight": f"{stack}encoder.layers.0.ffns.0.layers.1.weight",
        "decoder.layers.0.cross_attn.attn.out_proj.bias":
            f"{stack}decoder.layers.0.attentions.1.attn.out_proj.bias",
        "decoder.layers.0.norms.2.bias": f"{stack}decoder.layers.0.norms.2.bias",
        "decoder.post_norm.weight": f"{stack}decoder.post_norm.weight",
        "bbox_head.fc_cls.weight": "bbox_head.fc_cls.weight",
    }  # fmt: skip
    found = names_of_version2({name: torch.tensor(i) for i, name in enumerate(names)})
    assert list(found) == list(names.values())
    with torch.device("meta"):
        own = zoo.find("detr_r50_8x2_150e_coco").experiment.build_model().state_dict()
    assert found.keys() <= own.keys()
    deformable = {
        "neck.convs.0.conv.weight": "neck.convs.0.conv.weight",
        "encoder.layers.0.ffn.layers.1.weight": f"{stack}encoder.layers.0.ffns.0.layers.1.weight",
        "decoder.layers.1.cross_attn.sampling_offsets.bias":
            f"{stack}decoder.layers.1.attentions.1.sampling_offsets.bias",
        "level_embed": f"{stack}level_embeds",
        "memory_trans_fc.weight": f"{stack}enc_output.weight",
        "memory_trans_norm.bias": f"{stack}enc_output_norm.bias",
        "pos_trans_fc.weight": f"{stack}pos_trans.weight",
        "pos_trans_norm.weight": f"{stack}pos_trans_norm.weight",
        "bbox_head.cls_branches.0.weight": "bbox_head.cls_branches.0.weight",
    }  # fmt: skip
    found = names_of_version2(dict.fromkeys(deformable, torch.zeros(1)))
    assert list(found) == list(deformable.values())
    entry = "deformable_detr_twostage_refine_r50_16x2_50e_coco"
    with torch.device("meta"):
        own = zoo.find(entry).experiment.build_model().state_dict()
    assert found.keys() <= own.keys()
    semantic = names_of_version2({"mask_head.segm_branch.segm_conv.bias": torch.zeros(1)})
    assert list(semantic) == ["segm_head.segm_conv.bias"]


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
