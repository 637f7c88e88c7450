"""Guided anchoring."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.resnet import ResNetConfig
from detzoo.coders.delta import DeltaCoder
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.guided_retina import GuidedRetinaHeadConfig
from detzoo.heads.dense.guided_rpn import GuidedRPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.random import RandomSampler
from detzoo.zoo.classes import OBJECT
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.fast_rcnn import fast_rcnn
from detzoo.zoo.parts import Recipe, caffe_resnet, experiment, resnet, resnext
from detzoo.zoo.rpn import proposals

# Guided proposals are accurate enough for a higher IoU threshold in the second stage.
ROI_HEAD = StandardRoIHeadConfig(
    box_head=BoxHeadConfig(coder=DeltaCoder(stds=(0.05, 0.05, 0.1, 0.1))),
    assigner=MaxIoUAssigner(
        positive_iou=0.6, negative_iou=0.6, min_positive_iou=0.6, match_low_quality=False
    ),
    sampler=RandomSampler(num=256, positive_fraction=0.25, adds_targets=True),
    select=Select(min_score=1e-3, suppression=NMS(max_iou=0.5)),
)


def ga_rpn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """RPN with one anchor of predicted shape per cell."""
    model = ProposalOnlyConfig(
        backbone=backbone,
        neck=FPNConfig(),
        rpn_head=GuidedRPNHeadConfig(select=proposals(2000)),
    )
    recipe.setdefault("class_names", OBJECT)
    recipe.setdefault("max_gradient_norm", 35.0)
    return experiment(model, **recipe)


def ga_faster_rcnn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """Faster R-CNN on the best 300 guided proposals."""
    model = TwoStageConfig(
        backbone=backbone, neck=FPNConfig(), rpn_head=GuidedRPNHeadConfig(), roi_head=ROI_HEAD
    )
    recipe.setdefault("max_gradient_norm", 35.0)
    return experiment(model, **recipe)


def ga_retinanet(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """RetinaNet with one anchor of predicted shape per cell."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input"),
        bbox_head=GuidedRetinaHeadConfig(),
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    recipe.setdefault("max_gradient_norm", 35.0)
    return experiment(model, **recipe)


def ga_fast_rcnn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """The second stage alone, on guided proposals from a file."""
    recipe.setdefault("max_gradient_norm", 35.0)
    return fast_rcnn(backbone, roi_head=ROI_HEAD, train_proposals=300, **recipe)


ENTRIES = (
    Entry("ga_fast_r50_caffe_fpn_1x_coco", ga_fast_rcnn(caffe_resnet(50))),
    Entry(
        "ga_faster_r101_caffe_fpn_1x_coco",
        ga_faster_rcnn(caffe_resnet(101)),
        box_ap=41.5,
        memory_gb=7.5,
        weights="ga_faster_r101_caffe_fpn_1x_coco_bbox_mAP-0.415_20200505_115528-fb82e499.pth",
    ),
    Entry(
        "ga_faster_r50_caffe_fpn_1x_coco",
        ga_faster_rcnn(caffe_resnet(50)),
        box_ap=39.6,
        memory_gb=5.5,
        weights="ga_faster_r50_caffe_fpn_1x_coco_20200702_000718-a11ccfe6.pth",
    ),
    Entry(
        "ga_faster_r50_fpn_1x_coco",
        ga_faster_rcnn(),
    ),
    Entry(
        "ga_faster_x101_32x4d_fpn_1x_coco",
        ga_faster_rcnn(resnext(32, 4)),
        box_ap=43.0,
        memory_gb=8.7,
        inference_ms=103.09,
        weights="ga_faster_x101_32x4d_fpn_1x_coco_20200215-1ded9da3.pth",
    ),
    Entry(
        "ga_faster_x101_64x4d_fpn_1x_coco",
        ga_faster_rcnn(resnext(64, 4)),
        box_ap=43.9,
        memory_gb=11.8,
        inference_ms=136.99,
        weights="ga_faster_x101_64x4d_fpn_1x_coco_20200215-0fa7bde7.pth",
    ),
    Entry(
        "ga_retinanet_r101_caffe_fpn_1x_coco",
        ga_retinanet(caffe_resnet(101)),
        box_ap=39.0,
        memory_gb=5.5,
        inference_ms=77.52,
        weights="ga_retinanet_r101_caffe_fpn_1x_coco_20200531-6266453c.pth",
    ),
    Entry(
        "ga_retinanet_r101_caffe_fpn_mstrain_2x",
        ga_retinanet(
            caffe_resnet(101),
            sizes=((1333, 480), (1333, 960)),
            size_mode="range",
            schedule=epochs(24, warmup=Warmup(ratio=1 / 3)),
        ),
    ),
    Entry(
        "ga_retinanet_r50_caffe_fpn_1x_coco",
        ga_retinanet(caffe_resnet(50)),
        box_ap=36.9,
        memory_gb=3.5,
        inference_ms=59.52,
        weights="ga_retinanet_r50_caffe_fpn_1x_coco_20201020-39581c6f.pth",
    ),
    Entry(
        "ga_retinanet_r50_fpn_1x_coco",
        ga_retinanet(),
    ),
    Entry(
        "ga_retinanet_x101_32x4d_fpn_1x_coco",
        ga_retinanet(resnext(32, 4)),
        box_ap=40.5,
        memory_gb=6.9,
        inference_ms=94.34,
        weights="ga_retinanet_x101_32x4d_fpn_1x_coco_20200219-40c56caa.pth",
    ),
    Entry(
        "ga_retinanet_x101_64x4d_fpn_1x_coco",
        ga_retinanet(resnext(64, 4)),
        box_ap=41.3,
        memory_gb=9.9,
        inference_ms=129.87,
        weights="ga_retinanet_x101_64x4d_fpn_1x_coco_20200226-ef9f7f1f.pth",
    ),
    Entry(
        "ga_rpn_r101_caffe_fpn_1x_coco",
        ga_rpn(caffe_resnet(101)),
        ar1000=69.5,
        memory_gb=7.3,
        inference_ms=76.92,
        weights="ga_rpn_r101_caffe_fpn_1x_coco_20200531-ca9ba8fb.pth",
    ),
    Entry(
        "ga_rpn_r50_caffe_fpn_1x_coco",
        ga_rpn(caffe_resnet(50)),
        ar1000=68.4,
        memory_gb=5.3,
        inference_ms=63.29,
        weights="ga_rpn_r50_caffe_fpn_1x_coco_20200531-899008a6.pth",
    ),
    Entry(
        "ga_rpn_r50_fpn_1x_coco",
        ga_rpn(),
    ),
    Entry(
        "ga_rpn_x101_32x4d_fpn_1x_coco",
        ga_rpn(resnext(32, 4)),
        ar1000=70.6,
        memory_gb=8.5,
        inference_ms=100.0,
        weights="ga_rpn_x101_32x4d_fpn_1x_coco_20200220-c28d1b18.pth",
    ),
    Entry(
        "ga_rpn_x101_64x4d_fpn_1x_coco",
        ga_rpn(resnext(64, 4)),
        ar1000=70.6,
        memory_gb=7.1,
        inference_ms=133.33,
        weights="ga_rpn_x101_64x4d_fpn_1x_coco_20200225-3c6e1aa2.pth",
    ),
)

FAMILY = Family(
    folder="guided_anchoring",
    title="Guided Anchoring",
    paper="https://arxiv.org/abs/1901.03278",
    entries=ENTRIES,
)
