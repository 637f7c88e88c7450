"""Files of MMDetection 1.x: their models are those of the entries that compute as 1.x did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo import zoo
from detzoo.checkpoints import checkpoint
from detzoo.coders.legacy import LegacyDeltaCoder
from detzoo.config import diff
from detzoo.errors import ConfigError
from detzoo.mmdet import Imported, import_file
from detzoo.priors.legacy import LegacyAnchorGrid
from tests.mmdet.retinanet import CLASSES, state

# What all of them say, as 1.x said it; the wording is our own.
COMMON = """
backbone = dict(type='ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                style='pytorch')
neck = dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5)
none, small = [.0, .0, .0, .0], [0.1, 0.1, 0.2, 0.2]
rpn_head = dict(
    type='RPNHead', in_channels=256, feat_channels=256, anchor_scales=[8],
    anchor_ratios=[0.5, 1.0, 2.0], anchor_strides=[4, 8, 16, 32, 64], target_means=none,
    target_stds=[1.0, 1.0, 1.0, 1.0],
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0 / 9.0, loss_weight=1.0))
extractor = dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', out_size=7,
    sample_num=2), out_channels=256, featmap_strides=[4, 8, 16, 32])
mask_extractor = dict(extractor, roi_layer=dict(type='RoIAlign', out_size=14, sample_num=2))
box_head = dict(type='SharedFCBBoxHead', num_fcs=2, in_channels=256, fc_out_channels=1024,
    roi_feat_size=7, num_classes=81, target_means=none, target_stds=small,
    reg_class_agnostic=False,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0))
mask_head = dict(
    type='FCNMaskHead', num_convs=4, in_channels=256, conv_out_channels=256, num_classes=81,
    loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0))
sampler = dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1,
               add_gt_as_proposals=True)
rcnn = dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5,
    min_pos_iou=0.5, ignore_iof_thr=-1), sampler=sampler, pos_weight=-1, debug=False)
rpn = dict(nms_across_levels=False, nms_pre=2000, nms_post=2000, max_num=2000, nms_thr=0.7,
           min_bbox_size=0)
proposing = dict(
    rpn=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3,
        min_pos_iou=0.3, ignore_iof_thr=-1), sampler=dict(type='RandomSampler', num=256,
        pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False), allowed_border=0,
        pos_weight=-1, debug=False), rpn_proposal=rpn)
tested = dict(rpn=dict(rpn, nms_pre=1000, nms_post=1000, max_num=1000))
found = dict(score_thr=0.05, nms=dict(type='nms', iou_thr=0.5), max_per_img=100)
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(1333, 800), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True), dict(type='RandomFlip'),
        dict(type='Normalize', **img_norm_cfg), dict(type='Pad', size_divisor=32),
        dict(type='ImageToTensor', keys=['img']), dict(type='Collect', keys=['img'])])]
data = dict(imgs_per_gpu=2, workers_per_gpu=2,
    train=dict(type='CocoDataset', pipeline=[]), val=dict(type='CocoDataset', pipeline=[]),
    test=dict(type='CocoDataset', ann_file='a.json', img_prefix='b/', pipeline=test_pipeline))
optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
optimizer_config = dict(grad_clip=dict(max_norm=35, norm_type=2))
lr_config = dict(policy='step', warmup='linear', warmup_iters=500, warmup_ratio=1.0 / 3, step=[8])
checkpoint_config = dict(interval=1)
total_epochs = 12
dist_params = dict(backend='nccl')
"""
REGIONS = """
model = dict(type='{}', pretrained='torchvision://resnet50', backbone=backbone, neck=neck,
    rpn_head=rpn_head, bbox_roi_extractor=extractor, bbox_head=box_head, {})
train_cfg = dict(proposing, rcnn=dict(rcnn, {}))
test_cfg = dict(tested, rcnn=dict(found, {}))
"""
MASKS = "mask_roi_extractor=mask_extractor, mask_head=mask_head"
CASCADE = """
model = dict(type='CascadeRCNN', num_stages=3, pretrained='torchvision://resnet50',
    backbone=backbone, neck=neck, rpn_head=rpn_head, bbox_roi_extractor=extractor,
    mask_roi_extractor=mask_extractor, mask_head=mask_head,
    bbox_head=[dict(box_head, target_stds=[a, a, b, b], reg_class_agnostic=True)
               for a, b in ((0.1, 0.2), (0.05, 0.1), (0.033, 0.067))])
train_cfg = dict(proposing, stage_loss_weights=[1, 0.5, 0.25],
    rcnn=[dict(rcnn, mask_size=28) for _ in range(3)])
test_cfg = dict(tested, rcnn=dict(found, mask_thr_binary=0.5))
"""
RETINA = """
neck.update(start_level=1, add_extra_convs=True)
model = dict(type='RetinaNet', pretrained='torchvision://resnet50', backbone=backbone,
    neck=neck, bbox_head=dict(type='RetinaHead', num_classes=81, in_channels=256, stacked_convs=4,
        feat_channels=256, octave_base_scale=4, scales_per_octave=3,
        anchor_ratios=[0.5, 1.0, 2.0], anchor_strides=[8, 16, 32, 64, 128], target_means=none,
        target_stds=[1.0, 1.0, 1.0, 1.0],
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='SmoothL1Loss', beta=0.11, loss_weight=1.0)))
train_cfg = dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4,
    min_pos_iou=0, ignore_iof_thr=-1), allowed_border=-1, pos_weight=-1, debug=False)
test_cfg = dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05,
    nms=dict(type='nms', iou_thr=0.5), max_per_img=100)
"""
SSD = """
model = dict(type='SingleStageDetector', pretrained='open-mmlab://vgg16_caffe',
    backbone=dict(type='SSDVGG', input_size=300, depth=16, with_last_pool=False, ceil_mode=True,
        out_indices=(3, 4), out_feature_indices=(22, 34), l2_norm_scale=20),
    neck=None,
    bbox_head=dict(type='SSDHead', input_size=300, in_channels=(512, 1024, 512, 256, 256, 256),
        num_classes=81, anchor_strides=(8, 16, 32, 64, 100, 300),
        basesize_ratio_range=(0.15, 0.9), anchor_ratios=([2], [2, 3], [2, 3], [2, 3], [2], [2]),
        target_means=none, target_stds=small))
train_cfg = dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5,
    min_pos_iou=0., ignore_iof_thr=-1, gt_max_assign_all=False), smoothl1_beta=1.,
    allowed_border=-1, pos_weight=-1, neg_pos_ratio=3, debug=False)
test_cfg = dict(nms_pre=1000, nms=dict(type='nms', iou_thr=0.45), min_bbox_size=0, score_thr=0.02,
    max_per_img=200)
size = dict(type='Resize', keep_ratio=False)
test_pipeline[1].update(img_scale=(300, 300), transforms=[size,
    dict(type='Normalize', mean=img_norm_cfg['mean'], std=[1, 1, 1], to_rgb=True),
    dict(type='ImageToTensor', keys=['img']), dict(type='Collect', keys=['img'])])
"""
MODELS = {
    "faster_rcnn_r50_fpn_1x_coco_v1": REGIONS.format("FasterRCNN", "", "", ""),
    "mask_rcnn_r50_fpn_1x_coco_v1": REGIONS.format(
        "MaskRCNN", MASKS, "mask_size=28", "mask_thr_binary=0.5"
    ),
    "cascade_mask_rcnn_r50_fpn_1x_coco_v1": CASCADE,
    "retinanet_r50_fpn_1x_coco_v1": RETINA,
    "ssd300_coco_v1": SSD,
}
# What 1.x trained otherwise than the entries: it is not read for training, but its defaults are.
OF_TRAINING = ("rpn_head.border", *(f"roi_head.stages[{k}].assigner" for k in range(3)))


def read(folder: Path, text: str) -> Imported:
    path = folder / "older.py"
    path.write_text(COMMON + text)
    return import_file(path)


@pytest.mark.parametrize("entry", MODELS)
def test_models(tmp_path: Path, entry: str) -> None:
    found = read(tmp_path, MODELS[entry])
    published = zoo.find(entry).experiment
    rows = diff(found.experiment.model, published.model)
    rows = [row for row in rows if not row[0].startswith(OF_TRAINING)]
    assert rows == []
    assert found.experiment.data.test_transforms == published.data.test_transforms
    assert found.experiment.class_names == published.class_names
    assert [one.path for one in found.obstacles] == ["train_cfg"]
    with pytest.raises(ConfigError, match=r"older\.py: train_cfg: .*detecting is read"):
        found.to_train()


def test_a_checkpoint_alone(tmp_path: Path) -> None:
    """Its configuration is in it, and so are its classes."""
    text = COMMON + RETINA.replace("num_classes=81", f"num_classes={len(CLASSES) + 1}")
    meta = {"mmdet_version": "1.2.0+abc", "config": text, "CLASSES": CLASSES}
    path = tmp_path / "epoch_12.pth"
    torch.save({"meta": meta, "state_dict": state()}, path)
    found = checkpoint.read(path)
    assert found.experiment.class_names == CLASSES
    model: Any = found.experiment.model
    assert model.bbox_head.coder == LegacyDeltaCoder()
    assert isinstance(model.bbox_head.priors, LegacyAnchorGrid)
    assert found.model.keys() == state().keys()


def test_deformable_convolutions(tmp_path: Path) -> None:
    dcn = "dcn=dict(modulated={}, deformable_groups=1), stage_with_dcn=(0, 1, 1, 1)"
    for modulated in (False, True):
        found = read(tmp_path, f"backbone.update({dcn.format(modulated)})\n{RETINA}")
        backbone: Any = found.experiment.model.backbone  # type: ignore[attr-defined]
        assert backbone.deformable.modulated == modulated
        assert backbone.deformable_stages == (1, 2, 3)


@pytest.mark.parametrize(
    "change",
    [
        ("type='RetinaNet'", "type='Reppoints'"),
        ("type='RetinaHead'", "type='GuidedAnchorHead'"),
        ("num_classes=81, in", "in"),
    ],
)
def test_what_has_no_equal(tmp_path: Path, change: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"older\.py: model: is that of MMDetection 1\.x .*zoo"):
        read(tmp_path, RETINA.replace(*change))
    text = MODELS["mask_rcnn_r50_fpn_1x_coco_v1"].replace("bbox_head=box_head", "bbox_head=None")
    with pytest.raises(ConfigError, match=r"older\.py: model: is that of MMDetection 1\.x"):
        read(tmp_path, text)
