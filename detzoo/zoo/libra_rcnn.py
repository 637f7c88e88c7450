"""Libra R-CNN."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import BalancedL1Loss
from detzoo.necks.bfp import BFPConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.necks.sequence import NeckSequenceConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.samplers.balanced import BalancedSampler
from detzoo.samplers.random import RandomSampler
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.fast_rcnn import fast_rcnn
from detzoo.zoo.parts import Recipe, experiment, resnet, resnext

NECK = NeckSequenceConfig(necks=(FPNConfig(), BFPConfig()))
ROI_HEAD = StandardRoIHeadConfig(
    box_head=BoxHeadConfig(box_loss=BalancedL1Loss()),
    sampler=BalancedSampler(num=512, positive_fraction=0.25, adds_targets=True),
)


def libra_faster_rcnn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """Faster R-CNN with a balanced pyramid, balanced sampling and balanced L1 loss."""
    sampler = RandomSampler(num=256, positive_fraction=0.5, max_negatives_per_positive=5.0)
    model = TwoStageConfig(
        backbone=backbone, neck=NECK, rpn_head=RPNHeadConfig(sampler=sampler), roi_head=ROI_HEAD
    )
    return experiment(model, **recipe)


def libra_retinanet(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """RetinaNet with a balanced pyramid and balanced L1 loss."""
    pyramid = FPNConfig(start_level=1, extra_levels="on_input")
    model = SingleStageConfig(
        backbone=backbone,
        neck=NeckSequenceConfig(necks=(pyramid, BFPConfig(refine_level=1))),
        bbox_head=RetinaHeadConfig(box_loss=BalancedL1Loss(beta=0.11)),
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


def libra_fast_rcnn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """The second stage alone, on proposals from a file."""
    return fast_rcnn(backbone, neck=NECK, roi_head=ROI_HEAD, **recipe)


ENTRIES = (
    Entry("libra_fast_rcnn_r50_fpn_1x_coco", libra_fast_rcnn()),
    Entry(
        "libra_faster_rcnn_r101_fpn_1x_coco",
        libra_faster_rcnn(resnet(101)),
        box_ap=40.1,
        memory_gb=6.5,
        inference_ms=69.44,
        weights="libra_faster_rcnn_r101_fpn_1x_coco_20200203-8dba6a5a.pth",
    ),
    Entry(
        "libra_faster_rcnn_r50_fpn_1x_coco",
        libra_faster_rcnn(),
        box_ap=38.3,
        memory_gb=4.6,
        inference_ms=52.63,
        weights="libra_faster_rcnn_r50_fpn_1x_coco_20200130-3afee3a9.pth",
    ),
    Entry(
        "libra_faster_rcnn_x101_64x4d_fpn_1x_coco",
        libra_faster_rcnn(resnext(64, 4)),
        box_ap=42.7,
        memory_gb=10.8,
        inference_ms=117.65,
        weights="libra_faster_rcnn_x101_64x4d_fpn_1x_coco_20200315-3a7d0488.pth",
    ),
    Entry(
        "libra_retinanet_r50_fpn_1x_coco",
        libra_retinanet(),
        box_ap=37.6,
        memory_gb=4.2,
        inference_ms=56.5,
        weights="libra_retinanet_r50_fpn_1x_coco_20200205-804d94ce.pth",
    ),
)

FAMILY = Family(
    folder="libra_rcnn",
    title="Libra R-CNN",
    paper="https://arxiv.org/abs/1904.02701",
    entries=ENTRIES,
)
