"""How releases before 2.28.2 wrote published models: each gives the model of today."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo import zoo
from detzoo.config import diff
from tests.mmdet.small_files import imported

SSD = "model = dict(neck=None, backbone=dict(input_size={}, l2_norm_scale=20))"
TRANSFORMER = (
    "dict(_delete_=True, type='Transformer', embed_dims=256, num_heads=8, num_encoder_layers=6, "
    "num_decoder_layers=6, feedforward_channels=2048, dropout=0.1, act_cfg=dict(type='ReLU', "
    "inplace=True), norm_cfg=dict(type='LN'), num_fcs=2, pre_norm={}, return_intermediate_dec=True)"
)
DETR_HEAD = "model = dict(bbox_head=dict({}))"
OLD = [
    ("ssd/ssd300_coco", SSD.format(300)),
    ("ssd/ssd512_coco", SSD.format(512)),
    ("detr/detr_r50_8x2_150e_coco", DETR_HEAD.format(f"transformer={TRANSFORMER.format(False)}")),
    ("detr/detr_r50_8x2_150e_coco", DETR_HEAD.format(
        f"type='TransformerHead', num_fcs=2, transformer={TRANSFORMER.format(False)}")),
    ("detr/detr_r50_8x2_150e_coco",
     "model = dict(train_cfg=dict(assigner=dict(_delete_=True, type='HungarianAssigner', "
     "cls_weight=1., bbox_weight=5., iou_weight=2., iou_calculator=dict(type='BboxOverlaps2D'), "
     "iou_mode='giou')))"),
    ("yolof/yolof_r50_c5_8x8_1x_coco",
     "model = dict(neck=dict(_delete_=True, type='DilatedEncoder', in_channels=2048, "
     "out_channels=512, block_mid_channels=128, num_residual_blocks=4))"),
    ("retinanet/retinanet_r50_fpn_1x_coco",
     "model = dict(neck=dict(add_extra_convs=True, extra_convs_on_inputs=True))"),
    ("faster_rcnn/faster_rcnn_r50_fpn_1x_coco",
     "model = dict(test_cfg=dict(rpn=dict(_delete_=True, nms_across_levels=False, nms_pre=1000, "
     "nms_post=1000, max_num=1000, nms_thr=0.7, min_bbox_size=0)))"),
    ("faster_rcnn/faster_rcnn_r50_fpn_1x_coco",
     "model = dict(test_cfg=dict(rpn=dict(nms_across_levels=False, nms_pre=1000, "
     "nms_post=1000, max_num=1000, nms_thr=0.7)))"),
    ("faster_rcnn/faster_rcnn_r50_fpn_1x_coco", "total_epochs = 12"),
    ("swin/mask_rcnn_swin-t-p4-w7_fpn_1x_coco",
     "model = dict(backbone=dict(_delete_=True, type='SwinTransformer', embed_dim=96, "
     "depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7, mlp_ratio=4., qkv_bias=True, "
     "qk_scale=None, drop_rate=0., attn_drop_rate=0., ape=False, patch_norm=True, "
     "out_indices=(0, 1, 2, 3), use_checkpoint=False, init_cfg=dict(type='Pretrained', checkpoint="
     "'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
     "swin_tiny_patch4_window7_224.pth')))"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "text"), OLD)
def test_older_spellings(tmp_path: Path, entry: str, text: str) -> None:
    found = imported(tmp_path, f"{entry}.py", text).to_train()
    assert diff(found, zoo.find(entry.partition("/")[2]).experiment) == []


def test_a_transformer_that_is_another(tmp_path: Path) -> None:
    text = DETR_HEAD.format(f"transformer={TRANSFORMER.format(True)}")
    with pytest.raises(ValueError, match=r"transformer.pre_norm: is no setting that detzoo knows"):
        imported(tmp_path, "detr/detr_r50_8x2_150e_coco.py", text)


def test_names_that_contradict_each_other(tmp_path: Path) -> None:
    for text, reason in (
        ("nms_thr=0.5", "nms_thr: 0.5 is not nms.iou_threshold"),
        ("max_num=500", "max_per_img: 1000 is not 500, what max_num says"),
    ):
        with pytest.raises(ValueError, match=reason):
            imported(
                tmp_path,
                "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
                f"model = dict(test_cfg=dict(rpn=dict({text})))",
            )


WITHOUT_NORMS = (
    "fcos/fcos_r50_caffe_fpn_gn-head_1x_coco",
    "atss/atss_r50_fpn_1x_coco",
    "gfl/gfl_r50_fpn_1x_coco",
    "autoassign/autoassign_r50_fpn_8x2_1x_coco",
    "vfnet/vfnet_r50_fpn_1x_coco",
    "ddod/ddod_r50_fpn_1x_coco",
    "nas_fcos/nas_fcos_fcoshead_r50_caffe_fpn_gn-head_4x4_1x_coco",
)


@pytest.mark.parametrize("entry", WITHOUT_NORMS)
def test_heads_without_norms(tmp_path: Path, entry: str) -> None:
    """Their convolutions have biases instead."""
    text = "model = dict(bbox_head=dict(norm_cfg=None))"
    head = imported(tmp_path, f"{entry}.py", text).to_train().model.bbox_head
    built = head.build((256,) * 5, (8, 16, 32, 64, 128), 80)
    names = dict(built.named_parameters())
    assert "cls_convs.0.conv.bias" in names
    assert not any(".gn." in name for name in names)


def test_nas_fpn_without_norms(tmp_path: Path) -> None:
    text = "model = dict(neck=dict(norm_cfg=None))"
    entry = "nas_fpn/retinanet_r50_nasfpn_crop640_50e_coco.py"
    neck = imported(tmp_path, entry, text).to_train().model.neck
    built = neck.build((256, 512, 1024, 2048), (4, 8, 16, 32))
    names = dict(built.named_parameters())
    assert "lateral_convs.0.conv.bias" in names
    assert not any(".bn." in name for name in names)
