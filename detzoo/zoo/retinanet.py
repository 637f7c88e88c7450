"""RetinaNet."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import (
    EPOCHS_24_CAFFE,
    EPOCHS_36_CAFFE,
    ITERATIONS_90K,
    RANGE_3X,
    SIX_SIZES,
    Recipe,
    caffe_resnet,
    experiment,
    resnet,
    resnext,
)


def retinanet(backbone: BackboneConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """RetinaNet with FPN levels P3-P7 and nine anchors per cell."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input"),
        bbox_head=RetinaHeadConfig(),
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


ENTRIES = (
    Entry(
        "retinanet_r101_caffe_fpn_1x_coco",
        retinanet(caffe_resnet(101)),
        box_ap=38.5,
        memory_gb=5.5,
        inference_ms=68.03,
        weights="retinanet_r101_caffe_fpn_1x_coco_20200531-b428fa0f.pth",
    ),
    Entry(
        "retinanet_r101_caffe_fpn_mstrain_3x_coco",
        retinanet(caffe_resnet(101), sizes=SIX_SIZES, schedule=EPOCHS_36_CAFFE),
        box_ap=40.7,
        weights="retinanet_r101_caffe_fpn_mstrain_3x_coco_20210721_063439-88a8a944.pth",
    ),
    Entry(
        "retinanet_r101_fpn_1x_coco",
        retinanet(resnet(101)),
        box_ap=38.5,
        memory_gb=5.7,
        inference_ms=66.67,
        weights="retinanet_r101_fpn_1x_coco_20200130-7a93545f.pth",
    ),
    Entry(
        "retinanet_r101_fpn_2x_coco",
        retinanet(resnet(101), schedule=epochs(24)),
        box_ap=38.9,
        memory_gb=5.7,
        inference_ms=66.67,
        weights="retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth",
    ),
    Entry(
        "retinanet_r101_fpn_mstrain_640-800_3x_coco",
        retinanet(resnet(101), **RANGE_3X),
        box_ap=41.0,
        weights="retinanet/retinanet_r101_fpn_mstrain_3x_coco/retinanet_r101_fpn_mstrain_3x_coco_20210720_214650-7ee888e0.pth",
    ),
    Entry(
        "retinanet_r18_fpn_1x8_1x_coco",
        retinanet(
            resnet(18), images_per_device=8, reference_batch=8, optimizer=SGDConfig(lr=0.005)
        ),
        box_ap=31.7,
        memory_gb=5.0,
        weights="retinanet_r18_fpn_1x8_1x_coco_20220407_171255-4ea310d7.pth",
    ),
    Entry(
        "retinanet_r18_fpn_1x_coco",
        retinanet(resnet(18)),
        box_ap=31.7,
        memory_gb=1.7,
        weights="retinanet_r18_fpn_1x_coco_20220407_171055-614fd399.pth",
    ),
    Entry(
        "retinanet_r50_caffe_fpn_1x_coco",
        retinanet(caffe_resnet(50)),
        box_ap=36.3,
        memory_gb=3.5,
        inference_ms=53.76,
        weights="retinanet_r50_caffe_fpn_1x_coco_20200531-f11027c5.pth",
    ),
    Entry(
        "retinanet_r50_caffe_fpn_mstrain_1x_coco",
        retinanet(caffe_resnet(50), sizes=SIX_SIZES),
        box_ap=37.0,
        weights="benchmark/retinanet_r50_caffe_fpn_mstrain_1x_coco/retinanet_r50_caffe_fpn_mstrain_1x_coco-586977a0.pth",
    ),
    Entry(
        "retinanet_r50_caffe_fpn_mstrain_2x_coco",
        retinanet(caffe_resnet(50), sizes=SIX_SIZES, schedule=EPOCHS_24_CAFFE),
    ),
    Entry(
        "retinanet_r50_caffe_fpn_mstrain_3x_coco",
        retinanet(caffe_resnet(50), sizes=SIX_SIZES, schedule=EPOCHS_36_CAFFE),
    ),
    Entry(
        "retinanet_r50_fpn_1x_coco",
        retinanet(),
        box_ap=36.5,
        memory_gb=3.8,
        inference_ms=52.63,
        weights="retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth",
    ),
    Entry(
        "retinanet_r50_fpn_2x_coco",
        retinanet(schedule=epochs(24)),
        box_ap=37.4,
        weights="retinanet_r50_fpn_2x_coco_20200131-fdb43119.pth",
    ),
    Entry("retinanet_r50_fpn_90k_coco", retinanet(**ITERATIONS_90K)),
    Entry(
        "retinanet_r50_fpn_fp16_1x_coco",
        retinanet(precision="fp16", loss_scale=512.0, max_gradient_norm=35.0),
        box_ap=36.4,
        memory_gb=2.8,
        inference_ms=31.65,
        weights="fp16/retinanet_r50_fpn_fp16_1x_coco/retinanet_r50_fpn_fp16_1x_coco_20200702-0dbfb212.pth",
    ),
    Entry(
        "retinanet_r50_fpn_mstrain_640-800_3x_coco",
        retinanet(**RANGE_3X),
        box_ap=39.5,
        weights="retinanet/retinanet_r50_fpn_mstrain_3x_coco/retinanet_r50_fpn_mstrain_3x_coco_20210718_220633-88476508.pth",
    ),
    Entry(
        "retinanet_x101_32x4d_fpn_1x_coco",
        retinanet(resnext(32, 4)),
        box_ap=39.9,
        memory_gb=7.0,
        inference_ms=82.64,
        weights="retinanet_x101_32x4d_fpn_1x_coco_20200130-5c8b7ec4.pth",
    ),
    Entry(
        "retinanet_x101_32x4d_fpn_2x_coco",
        retinanet(resnext(32, 4), schedule=epochs(24)),
        box_ap=40.1,
        memory_gb=7.0,
        inference_ms=82.64,
        weights="retinanet_x101_32x4d_fpn_2x_coco_20200131-237fc5e1.pth",
    ),
    Entry(
        "retinanet_x101_64x4d_fpn_1x_coco",
        retinanet(resnext(64, 4)),
        box_ap=41.0,
        memory_gb=10.0,
        inference_ms=114.94,
        weights="retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth",
    ),
    Entry(
        "retinanet_x101_64x4d_fpn_2x_coco",
        retinanet(resnext(64, 4), schedule=epochs(24)),
        box_ap=40.8,
        memory_gb=10.0,
        inference_ms=114.94,
        weights="retinanet_x101_64x4d_fpn_2x_coco_20200131-bca068ab.pth",
    ),
    Entry(
        "retinanet_x101_64x4d_fpn_mstrain_640-800_3x_coco",
        retinanet(resnext(64, 4), **RANGE_3X),
        box_ap=41.6,
        weights="retinanet/retinanet_x101_64x4d_fpn_mstrain_3x_coco/retinanet_x101_64x4d_fpn_mstrain_3x_coco_20210719_051838-022c2187.pth",
    ),
)

FAMILY = Family(
    folder="retinanet",
    title="RetinaNet",
    paper="https://arxiv.org/abs/1708.02002",
    entries=ENTRIES,
)
