"""What stood in the way of users' files most often, in small files of our own wording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detzoo.data.transforms import Albumentations, Flip, Mosaic
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.branched_box_head import BranchedBoxHeadConfig
from detzoo.heads.roi.cascade import CascadeRoIHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIPoolConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.losses.boxes import (
    DIoULoss,
    GIoULoss,
    IoULoss,
    L1Loss,
    LossOfBoxes,
    LossOfDeltas,
    SmoothL1Loss,
)
from detzoo.losses.classification import (
    BackgroundCrossEntropy,
    BackgroundFocalLoss,
    SoftmaxCrossEntropy,
)
from detzoo.postprocess.nms import NMS
from tests.mmdet.small_files import (
    CASCADE,
    COLORS,
    CORNERNET,
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

HTC_BOXES = "htc/htc_without_semantic_r50_fpn_1x_coco.py"
OWN = "type='MyDataset'"
ROI = "model = dict(roi_head=dict({}))"
ROI_BOX = "model = dict(roi_head=dict(bbox_head=dict({})))"
TRAINS = [
    (FASTER, f"data = dict(train=dict({OWN}), val=dict({OWN}), test=dict({OWN}, test_mode=True))"),
    (FASTER, f"data = dict({train(COLORS, PAD)[:-1]}, {OWN}, classes=('a', 'b')))"),
    (FASTER, "data = dict(train=dict(type='CustomDataset', classes=('a', 'b')))"),
    (FASTER, "data = dict(imgs_per_gpu=4, samples_per_gpu=4, trainCS=dict(type='CocoDataset'))"),
    (CASCADE, ROI.format("bbox_head={str(i): dict(num_classes=5) for i in range(3)}")),
    (FASTER, ROI_BOX.format("_delete_=True, type='Shared2FCBBoxHead', num_classes=80")),
    (FASTER, "model = dict(rpn_head=dict(reg_decoded_bbox=True, loss_bbox=dict("
     "_delete_=True, type='GIoULoss', loss_weight=10.0)))"),
    (FASTER, ROI.format("bbox_roi_extractor=dict(roi_layer=dict("
     "_delete_=True, type='RoIAlign', out_size=7, sample_num=2))")),
    (FASTER, "model = dict(train_cfg=dict(rcnn=dict(mask_size=28)), "
     "test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)))"),
    (FASTER, "model = dict(backbone=dict(init_cfg=dict("
     "checkpoint='open-mmlab://resnet50_caffe_bgr')))"),
    (YOLOX, "data = dict(train=dict(dynamic_scale=(640, 640)))\ncustom_hooks = [dict("
     "type='SyncRandomSizeHook', ratio_range=(14, 26), img_scale=(640, 640), interval=10)]"),
    (YOLOF, "model = dict(neck=dict(_delete_=True, type='DilatedEncoder', in_channels=2048, "
     "out_channels=512, block_mid_channels=128, num_residual_blocks=4))"),
    (HTC, ROI.format("semantic_head=dict(_delete_=True, type='FusedSemanticHead', num_ins=5, "
     "fusion_level=1, num_convs=4, in_channels=256, conv_out_channels=256, num_classes=183, "
     "ignore_label=255, loss_weight=0.2)")),
    (CORNERNET, "model = dict(test_cfg=dict(nms=None, nms_cfg=dict("
     "type='soft_nms', iou_threshold=0.5, method='gaussian')))"),
    (RETINANET, "model = dict(neck=dict(add_extra_convs=True, extra_convs_on_inputs=False))"),
    (FASTER, "model = dict(test_cfg=dict(rcnn=dict(nms=dict(split_thr=10000))))"),
    (FASTER, "model = dict(train_cfg=dict(rcnn=dict(pos_weight=1)))"),
    (FASTER, "model = dict(rpn_head=dict(anchor_generator=dict(base_sizes=[4, 8, 16, 32, 64])))"),
    (FASTER, "model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='Kaiming', "
     "layer='Conv2d')))"),
    (FASTER, "model = dict(backbone=dict(init_cfg=[dict(type='Kaiming', layer='Conv2d'), "
     "dict(type='Constant', val=1, layer=['_BatchNorm'])]))"),
    (YOLOX, "model = dict(bbox_head=dict(loss_bbox=dict(type='IoULoss', mode='square', eps=1e-16, "
     "reduction='sum', loss_weight=5.0)))"),
    (HTC_BOXES, "model = dict(roi_head=dict(mask_head=None, mask_roi_extractor=None))"),
    (FASTER, "optimizer = dict(_delete_=True, type='Adam', lr=1e-4, eps=1e-6, amsgrad=True)"),
    (FASTER, "model = dict(type='TwoStageDetector')"),
    (FASTER, "data = dict(test=dict(type='OccludedSeparatedCocoDataset'))"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "text"), TRAINS)
def test_files_that_can_be_trained(tmp_path: Path, base: str, text: str) -> None:
    assert imported(tmp_path, base, text).obstacles == ()


def pixels(experiment: Any) -> tuple[Any, ...]:
    own = experiment.model.pixels
    return own.mean, own.std, own.padding


def test_normalize_with_one_value(tmp_path: Path) -> None:
    one = NORM.format(mean=[127.5], std=[50.0])
    found = imported(tmp_path, FASTER, f"data = dict({train(one, PAD)}, {held_out(one, PAD)})")
    assert found.obstacles == ()
    assert pixels(found.experiment) == ((127.5,) * 3, (50.0,) * 3, None)
    two = NORM.format(mean=[1.0, 2.0], std=[50.0, 50.0])
    with pytest.raises(ValueError, match=r"Normalize|mean: \(1.0, 2.0\) is not a value for each"):
        imported(tmp_path, FASTER, f"data = dict({held_out(two, PAD)})")


def test_gray_images(tmp_path: Path) -> None:
    gray = NORM.format(mean=[127.5], std=[50.0])
    load = ", color_type='grayscale'"
    steps = train(gray, PAD).replace("'LoadImageFromFile'", f"'LoadImageFromFile'{load}")
    data = f"data = dict({steps}, {held_out(gray, PAD, load=load)})"
    found = imported(tmp_path, FASTER, f"{data}\nmodel = dict(backbone=dict(in_channels=1))")
    assert found.obstacles == ()
    assert found.experiment.model.pixels.mean == (127.5,)
    with pytest.raises(ValueError, match=r"backbone.in_channels: 3 is not 1, the channels of the"):
        imported(tmp_path, FASTER, data)


def test_padding_before_normalizing_is_black(tmp_path: Path) -> None:
    found = imported(
        tmp_path, FASTER, f"data = dict({train(PAD, COLORS)}, {held_out(PAD, COLORS)})"
    )
    assert found.obstacles == ()
    assert found.experiment.model.pixels.padding == 0.0
    late = PAD.replace(")", ", pad_val=dict(img=114))")
    with pytest.raises(ValueError, match=r"pad_val.img: 114.0: after Normalize, images are padded"):
        imported(tmp_path, FASTER, f"data = dict({held_out(COLORS, late)})")


def test_colors_do_not_change_after_normalizing(tmp_path: Path) -> None:
    colors = "dict(type='PhotoMetricDistortion')"
    found = imported(tmp_path, FASTER, f"data = dict({train(COLORS, colors, PAD)})")
    assert [one.path for one in found.obstacles] == ["data.train.pipeline[4].type"]
    assert imported(tmp_path, FASTER, f"data = dict({train(colors, COLORS, PAD)})").obstacles == ()


def test_a_second_flip_undoes_the_first(tmp_path: Path) -> None:
    def flips(*steps: str) -> list[Flip]:
        found = imported(tmp_path, FASTER, f"data = dict({train(*steps, COLORS, PAD)})").to_train()
        return [one for one in found.data.train_transforms if isinstance(one, Flip)]

    assert len(flips(FLIP)) == 1
    assert flips(FLIP, FLIP) == []
    both = "dict(type='RandomFlip', flip_ratio=[0.2, 0.2], direction=['horizontal', 'vertical'])"
    assert flips(both) == [Flip(probability=0.4, directions=("horizontal", "vertical"))]


def test_a_mosaic_now_and_then(tmp_path: Path) -> None:
    mosaic = "dict(type='Mosaic', img_scale=(640, 640), prob=0.3)"
    pad = "dict(type='Pad', size_divisor=32, pad_val=dict(img=(114.0, 114.0, 114.0)))"
    text = f"data = dict({train(mosaic, pad, size='(640, 640)')})"
    steps = imported(tmp_path, YOLOX, text).experiment.data.train_transforms
    assert Mosaic(probability=0.3) in steps


BOX_HEADS: list[tuple[str, dict[str, Any]]] = [
    # V2's RoI heads have C + 1 rows and a softmax with any loss.
    ("loss_cls=dict(_delete_=True, type='FocalLoss', use_sigmoid=True, loss_weight=2.0)",
     {"classification_loss": BackgroundFocalLoss(weight=2.0)}),
    ("loss_cls=dict(use_sigmoid=True)", {"classification_loss": BackgroundCrossEntropy()}),
    ("loss_cls=dict(class_weight=[0.5] * 81)",
     {"classification_loss": SoftmaxCrossEntropy(class_weights=(0.5,) * 81)}),
    ("loss_bbox=dict(type='DIoULoss'), reg_decoded_bbox=True", {"box_loss": DIoULoss()}),
    ("loss_bbox=dict(type='IoULoss', linear=True), reg_decoded_bbox=True",
     {"box_loss": IoULoss(kind="linear")}),
    ("loss_bbox=dict(type='GIoULoss', loss_weight=3)",
     {"box_loss": LossOfDeltas(loss=GIoULoss(weight=3.0))}),
    ("reg_decoded_bbox=True", {"box_loss": LossOfBoxes(loss=L1Loss())}),
    ("_delete_=True, type='ConvFCBBoxHead', num_shared_convs=2, num_shared_fcs=1, num_classes=80, "
     "norm_cfg=dict(type='GN', num_groups=8), conv_out_channels=64, fc_out_channels=32",
     {"num_shared_convs": 2, "num_shared_fcs": 1, "norm": GroupNormConfig(groups=8),
      "conv_channels": 64, "fc_channels": 32, "box_loss": SmoothL1Loss()}),
    ("norm_cfg=dict(type='BN'), conv_out_channels=64", {}),  # it has no convolutions
]  # fmt: skip


@pytest.mark.parametrize(("text", "settings"), BOX_HEADS)
def test_box_heads(tmp_path: Path, text: str, settings: dict[str, Any]) -> None:
    model = imported(tmp_path, FASTER, ROI_BOX.format(text)).to_train().model
    assert model.roi_head.box_head == BoxHeadConfig(**settings)


def test_box_heads_with_branches(tmp_path: Path) -> None:
    text = (
        "_delete_=True, type='ConvFCBBoxHead', num_shared_convs=1, num_cls_convs=2, num_cls_fcs=3, "
        "num_reg_fcs=1, with_avg_pool=True, num_classes=80, conv_out_channels=64, "
        "loss_bbox=dict(type='L1Loss')"
    )
    model = imported(tmp_path, FASTER, ROI_BOX.format(text)).to_train().model
    assert model.roi_head.box_head == BranchedBoxHeadConfig(
        num_shared_convs=1,
        num_shared_fcs=0,
        num_class_convs=2,
        num_class_fcs=3,
        num_box_fcs=1,
        averages=True,
        conv_channels=64,
    )
    averaged = imported(tmp_path, FASTER, ROI_BOX.format("with_avg_pool=True")).to_train().model
    assert averaged.roi_head.box_head == BranchedBoxHeadConfig(averages=True)


def test_a_hybrid_task_cascade_without_masks_is_a_cascade_of_boxes(tmp_path: Path) -> None:
    text = "model = dict(roi_head=dict(mask_head=None, mask_roi_extractor=None))"
    model = imported(tmp_path, HTC_BOXES, text).to_train().model
    assert type(model.roi_head) is CascadeRoIHeadConfig
    assert model.roi_head.mask_head is None
    assert not model.predicts_masks


def test_suppression_over_all_classes_and_no_limit(tmp_path: Path) -> None:
    nms = "nms=dict(type='nms', iou_threshold=0.4, class_agnostic=True), max_per_img=-1"
    found = imported(tmp_path, FASTER, f"model = dict(test_cfg=dict(rcnn=dict({nms})))").to_train()
    select = found.model.roi_head.select
    assert select.suppression == NMS(max_iou=0.4, class_agnostic=True)
    assert select.max_detections is None


def test_classes_of_a_data_set_of_ones_own(tmp_path: Path) -> None:
    """Read from its source, which is not run."""
    folder = tmp_path / "mmdet" / "datasets"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(
        "raise SystemExit\n"
        "from .coco import CocoDataset\n"
        "@DATASETS.register_module()\n"
        "class Animals(CocoDataset):\n"
        "    CLASSES = ('cat', 'dog')\n"
        "    PALETTE = None\n"
        "class Pets(Animals):\n"
        "    def load(self): pass\n"
    )
    for name, note in (("Animals", "is a CocoDataset"), ("Pets", "its code is not run")):
        text = f"data = dict(train=dict(type={name!r}))\n{ROI_BOX.format('num_classes=2')}"
        (tmp_path / "configs").mkdir(exist_ok=True)
        found = imported(tmp_path / "configs", FASTER, text)
        assert found.experiment.class_names == ("cat", "dog")
        assert note in found.reading.replaced["data.train.type"]


def test_load_from_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    published = "faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth"
    (tmp_path / published).touch()
    for given, taken in (
        (f"./{published}", f"./{published}"),  # it is there
        (f"elsewhere/{published}", "faster_rcnn_r50_fpn_1x_coco"),
        ("https://example.org/mine.pth", "https://example.org/mine.pth"),
    ):
        found = imported(tmp_path, FASTER, f"load_from = {given!r}")
        assert found.to_train().initial_weights == taken


def test_albumentations_of_users(tmp_path: Path) -> None:
    """Names and settings of before 2.0, each with what it became."""
    old = (
        "dict(type='Albu', transforms=[dict(type='JpegCompression', quality_lower=85, "
        "quality_upper=95, p=0.2), dict(type='IAAAffine', shear=(-10.0, 10.0), p=0.3), "
        "dict(type='GaussNoise', var_limit=(0, 2601), always_apply=True)], "
        "bbox_params=dict(type='BboxParams', format='pascal_voc', label_fields=['gt_labels'], "
        "min_visibility=0.1, filter_lost_elements=True), keymap=dict(img='image', "
        "gt_bboxes='bboxes'), skip_img_without_anno=True)"
    )
    result = imported(tmp_path, FASTER, f"data = dict({train(old, COLORS, PAD)})")
    (found,) = (
        step for step in result.experiment.data.train_transforms if isinstance(step, Albumentations)
    )
    found.check()
    assert [call.partition("(")[0] for call in found.transforms] == [
        "ImageCompression",
        "Affine",
        "GaussNoise",
    ]
    assert "quality_range=(85, 95)" in found.transforms[0]
    assert "std_range=(0.0, 0.2)" in found.transforms[2]
    assert found.transforms[2].endswith("p=1.0)")
    assert (found.order, found.min_visibility, found.allow_empty) == ("bgr", 0.1, False)


def test_max_pooling_of_regions(tmp_path: Path) -> None:
    layer = "dict(_delete_=True, type='RoIPool', output_size=7)"
    text = ROI.format(f"bbox_roi_extractor=dict(roi_layer={layer})")
    model = imported(tmp_path, FASTER, text).to_train().model
    assert model.roi_head.extractor == PyramidRoIPoolConfig(output_size=7)


def test_a_mask_for_all_classes(tmp_path: Path) -> None:
    text = ROI.format("mask_head=dict(class_agnostic=True)")
    assert imported(tmp_path, MASK, text).to_train().model.roi_head.mask_head.class_agnostic
