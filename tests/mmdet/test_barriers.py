"""Each kind of obstacle that users' files met, in a small file of our own, and what it does now.

The kinds are those of a list of first refusals of 1,786 files, of an early version of detzoo.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from detzoo.errors import ConfigError
from detzoo.mmdet.adapters.recipe import HOOKS_WITHOUT_EFFECT, STEPS
from detzoo.mmdet.convert import PLAIN_TYPES
from detzoo.mmdet.registry import ADAPTERS
from tests.mmdet.small_files import (
    CASCADE,
    COLORS,
    FASTER,
    FLIP,
    HTC,
    MASK,
    NORM,
    PAD,
    RETINANET,
    YOLOF,
    YOLOX,
    held_out,
    imported,
    train,
)
from tests.shared import shared


class Kind(NamedTuple):
    """``outcome`` is what the file is good for, or the sentence that refuses it."""

    messages: str
    base: str
    text: str
    outcome: str = "train"


def step(text: str) -> str:
    return f"data = dict({train(text, COLORS, PAD)})"


ROTATE = "dict(type='Rotate', level=3)"
MOSAIC = "dict(type='Mosaic', img_scale=(640, 640), prob=0.5)"
SIZED = held_out(COLORS, PAD).replace("keep_ratio=True)", "keep_ratio=True, img_scale=(1333, 800))")
FCOS = "fcos/fcos_r50_caffe_fpn_gn-head_1x_coco.py"
GRAY = NORM.format(mean=[127.5], std=[50.0])
NASFPN = "nas_fpn/retinanet_r50_nasfpn_crop640_50e_coco.py"
SSD = "ssd/ssd512_coco.py"
ROI = "model = dict(roi_head=dict({}))"
KINDS = [
    # Data sets of users' own, and of V2's.
    Kind("no dataset called (OWN_CLASS|'DeepFashion2Dataset')", FASTER,
         "data = dict(train=dict(type='Mine'), val=dict(type='Mine'), test=dict(type='Mine'))"),
    Kind("no dataset called 'CustomDataset'", FASTER,
         "data = dict(train=dict(type='CustomDataset', classes=('a', 'b')))"),
    Kind("no dataset called 'LVISDataset'", FASTER,
         "data = dict(train=dict(_delete_=True, type='RepeatDataset', times=2, dataset=dict("
         "type='LVISDataset', ann_file='l.json', pipeline=_base_.train_pipeline)))"),
    Kind("no dataset called 'XMLDataset'", FASTER,
         "data = dict(train=dict(_delete_=True, type='RepeatDataset', times=2, dataset=dict("
         "type='XMLDataset', classes=('a',), ann_file='a.txt', img_prefix='VOC2007/', "
         "pipeline=_base_.train_pipeline)))"),
    Kind(r"data.train: [\[(]", FASTER,
         "one = dict(type='CocoDataset', ann_file='a', pipeline=_base_.train_pipeline)\n"
         "data = dict(_delete_=True, train=[one, one], test=_base_.data.test)"),
    Kind(r"data.train.ann_file: is no setting", FASTER,
         "data = dict(train=dict(type='RepeatDataset', times=2, dataset=dict(type='CocoDataset', "
         "ann_file='a', pipeline=_base_.train_pipeline)))"),
    Kind("data.trainCS: ", FASTER, "data = dict(trainCS=dict(type='CocoDataset'))"),
    Kind("data.test.test_mode: ", FASTER, "data = dict(test=dict(test_mode=True))"),
    Kind("data.test.samples_per_gpu", FASTER, "data = dict(test=dict(samples_per_gpu=4))"),
    Kind("data.train.dynamic_scale", YOLOX, "data = dict(train=dict(dynamic_scale=(640, 640)))"),
    # Classes.
    Kind("data.test.classes: ", FASTER, "data = dict(test=dict(classes=('a', 'b')))"),
    Kind("num_classes: 80 is not", RETINANET, "data = dict(train=dict(classes=('a', 'b')))"),
    Kind(r"bbox_head\[i\].num_classes: ", CASCADE,
         ROI.format("bbox_head={str(i): dict(num_classes=5) for i in range(3)}")),
    Kind(r"mask_head.num_classes: ", MASK,
         ROI.format("bbox_head=dict(num_classes=5), mask_head=dict(num_classes=5)")),
    Kind("bbox_head.num_classes: ", FASTER, ROI.format("bbox_head=dict(num_classes=5)")),
    # Pipelines.
    Kind("no transform called 'Albu'", FASTER,
         step("dict(type='Albu', transforms=[dict(type='RandomBrightnessContrast', p=0.2)])")),
    Kind("no transform called 'CutOut'", FASTER,
         step("dict(type='CutOut', n_holes=3, cutout_shape=(8, 8))")),
    *(Kind(f"train.pipeline.*no transform called '{name}'", FASTER,
           step(f"dict(type={name!r}, {settings})"))
      for name, settings in (
          ("ContrastTransform", "level=3"), ("BrightnessTransform", "level=3"),
          ("ColorTransform", "level=3"), ("EqualizeTransform", "prob=0.5"),
          ("Translate", "level=3"), ("Shear", "level=3"), ("Rotate", "level=3"))),
    # V2 turns the images of tests at random, too.
    Kind("test.pipeline.*no transform called 'Rotate'", FASTER,
         f"data = dict({held_out(FLIP, ROTATE, COLORS, PAD)})"),
    Kind("prob: 0.[35] is not 1.0, as every image becomes part of a mosaic", YOLOX,
         f"data = dict({train(MOSAIC, size='(640, 640)')})"),
    Kind("setting of this RandomFlip", FASTER,
         step("dict(type='RandomFlip', flip_ratio=[0.2, 0.3], "
              "direction=['horizontal', 'vertical'])")),
    Kind("makes other pixels", FASTER, f"data = dict({train(PAD, COLORS)})"),
    Kind("traceback: IndexError", FASTER,
         f"data = dict({train(GRAY, PAD)}, {held_out(GRAY, PAD)})"),
    Kind("to_rgb: False is not True", FASTER,
         "gray = dict(type='Normalize', mean=[127.5], std=[50.0], to_rgb=False)\n"
         f"data = dict({train('gray', PAD)}, {held_out('gray', PAD)})"),
    Kind("transforms.*img_scale: is no setting", FASTER, f"data = dict({SIZED})"),
    # Models.
    Kind("no backbone called 'SwinTransformer'", "swin/mask_rcnn_swin-t-p4-w7_fpn_1x_coco.py", ""),
    Kind("no backbone called 'EfficientNet'",
         "efficientnet/retinanet_effb3_fpn_crop896_8x4_1x_coco.py", ""),
    Kind("no detector called 'TOOD'", "tood/tood_r50_fpn_1x_coco.py", ""),
    Kind("no detector called 'VFNet'", "vfnet/vfnet_r50_fpn_1x_coco.py", ""),
    Kind("no detector called 'SparseRCNN'", "sparse_rcnn/sparse_rcnn_r50_fpn_1x_coco.py", ""),
    Kind("no neck called 'PAFPN'", FASTER, "model = dict(neck=dict(type='PAFPN'))"),
    Kind("roi_layer.output_size", FASTER,
         ROI.format("bbox_roi_extractor=dict(roi_layer=dict(_delete_=True, type='RoIAlign', "
                    "out_size=7, sample_num=0))")),
    Kind("mask_roi_extractor: missing", MASK,
         "model = dict(roi_head=dict(mask_roi_extractor=None), "
         "train_cfg=dict(rcnn=dict(mask_size=14)))"),
    Kind("loss_bbox: missing", CASCADE,
         ROI.format("bbox_head=[dict(type='Shared2FCBBoxHead', num_classes=80, bbox_coder=dict("
                    "type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]), "
                    "reg_class_agnostic=True) for _ in range(3)]")),
    Kind(r"reg_decoded_bbox: (is no|False is not)", FASTER,
         "model = dict(rpn_head=dict(reg_decoded_bbox=True, loss_bbox=dict("
         "_delete_=True, type='GIoULoss', loss_weight=10.0)))"),
    Kind("mask_size: is no setting", FASTER,
         "model = dict(train_cfg=dict(rcnn=dict(mask_size=28)), "
         "test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)))"),
    Kind("semantic_head.ignore_label", HTC,
         ROI.format("semantic_head=dict(_delete_=True, type='FusedSemanticHead', num_ins=5, "
                    "fusion_level=1, num_convs=4, in_channels=256, conv_out_channels=256, "
                    "num_classes=183, ignore_label=0, loss_weight=0.2)")),
    Kind("block_dilations", YOLOF,
         "model = dict(neck=dict(_delete_=True, type='DilatedEncoder', in_channels=2048, "
         "out_channels=512, block_mid_channels=128, num_residual_blocks=4))"),
    Kind("NASFPN without norms", NASFPN, "model = dict(neck=dict(norm_cfg=None))"),
    Kind("norm_cfg: None, but there is no such part", FCOS,
         "model = dict(bbox_head=dict(norm_cfg=None))"),
    Kind(r"in_channels: \(512, 1024, 512, 256, 256, 256(, 256)?\) is not", SSD,
         "model = dict(neck=None, backbone=dict(input_size=512, l2_norm_scale=20))"),
    Kind("backbone.init_cfg: is no setting", FASTER,
         "model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='Kaiming', "
         "layer='Conv2d')))"),
    Kind("no weights are called 'PATH'", FASTER,
         "model = dict(backbone=dict(init_cfg=dict(checkpoint='weights/mine.pth')))"),
    # These contradict themselves in V2, too.
    Kind("model.type: missing", FASTER,
         "model = dict(_delete_=True, bbox_head=dict(num_classes=3))", "model.type: missing"),
    Kind("stages that YOLOX looks at", YOLOX,
         "model = dict(backbone=dict(out_indices=(0, 1, 2, 3)))", "backbone.out_indices"),
    Kind(r"neck.in_channels: .* is not", YOLOX,
         "model = dict(neck=dict(in_channels=[320, 640, 1280]))", "neck.in_channels: .* is not"),
    # The course of a run.
    Kind("workflow: ", FASTER, "workflow = [('train', 1), ('val', 1)]"),
    Kind("resume_from: ", FASTER, "resume_from = 'work_dirs/epoch_3.pth'"),
    Kind("checkpoint_config.(create_symlink|save_last|max_keep_ckpt): ", FASTER,
         "checkpoint_config = dict(create_symlink=False, save_last=True, max_keep_ckpt=3)"),
    Kind("policy: detzoo has no 'CosineRestart'", FASTER,
         "lr_config = dict(_delete_=True, policy='CosineRestart', periods=[4, 8], "
         "restart_weights=[1, 0.5], min_lr=1e-5)"),
    Kind("optimizer.momentum: is no setting", FASTER, "optimizer = dict(type='Adam', lr=1e-4)",
         "predict"),  # V2 calls PyTorch's Adam with it, which refuses
    Kind("total_epochs: 24 contradicts", FASTER, "total_epochs = 24", "predict"),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=[kind.messages for kind in KINDS])
def test_what_a_file_is_good_for(tmp_path: Path, kind: Kind) -> None:
    if kind.outcome not in ("train", "predict"):
        with pytest.raises(ConfigError, match=kind.outcome):
            imported(tmp_path, kind.base, kind.text)
        return
    found = imported(tmp_path, kind.base, kind.text)
    use: Literal["train", "predict"] = "predict" if found.obstacles else "train"
    assert use == kind.outcome, found.obstacles


# Types without an adapter of their own: the part that holds them reads them, or they only say what
# V2 logs and saves.
WITHIN_OTHERS = frozenset(
    ("BN1d", "BN2d", "BN3d", "Conv1d", "Dropout", "FFN", "bilinear", "BboxOverlaps2D")
    + ("TaskAlignedAssigner", "VarifocalLoss", "ScoreHLRSampler", "CheckpointHook")
    + ("TextLoggerHook", "TensorboardLoggerHook", "MMDetWandbHook", "WandbLoggerHook")
    + ("MlflowLoggerHook", "DiceCost", "CrossEntropyLossCost", "MaskPseudoSampler")
    + ("MaskFormerFusionHead", "MSDeformAttnPixelDecoder", "TransformerEncoderPixelDecoder")
    + ("LearnedPositionalEncoding",)
)


def test_every_kind_has_a_file() -> None:
    barriers = json.loads(shared("cases", "configs", "barriers.json").read_text())
    messages = [one["message"] for one in barriers["first_refusals"]]
    assert [m for m in messages if not any(re.search(k.messages, m) for k in KINDS)] == []
    assert [k.messages for k in KINDS if not any(re.search(k.messages, m) for m in messages)] == []
    adapted = {name for adapters in ADAPTERS.values() for name in adapters}
    known = adapted | PLAIN_TYPES | WITHIN_OTHERS | HOOKS_WITHOUT_EFFECT.keys() | set(STEPS)
    types = [one["type"] for one in barriers["missing_types"]]
    assert [name for name in types if name not in known] == []
