"""Cascade RPN."""

from __future__ import annotations

import dataclasses
from typing import Final

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.coders.delta import DeltaCoder
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.cascade_rpn import CascadeRPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import IoULoss, SmoothL1Loss
from detzoo.losses.classification import SigmoidCrossEntropy, SoftmaxCrossEntropy
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.random import RandomSampler
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.fast_rcnn import fast_rcnn
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.parts import caffe_resnet
from detzoo.zoo.rpn import rpn

MAX_GRADIENT_NORM: Final = 35.0

# Better proposals allow stricter regions.
ROI_HEAD = StandardRoIHeadConfig(
    box_head=BoxHeadConfig(
        coder=DeltaCoder(stds=(0.04, 0.04, 0.08, 0.08)),
        classification_loss=SoftmaxCrossEntropy(weight=1.5),
        box_loss=SmoothL1Loss(),
    ),
    assigner=MaxIoUAssigner(
        positive_iou=0.65, negative_iou=0.65, min_positive_iou=0.65, match_low_quality=False
    ),
    sampler=RandomSampler(num=256, positive_fraction=0.25, adds_targets=True),
    select=Select(min_score=1e-3, suppression=NMS(max_iou=0.5)),
)


def crpn() -> Experiment:
    """Cascade RPN by itself."""
    select = Select(min_score=0.0, pre_nms=2000, suppression=NMS(max_iou=0.8), max_detections=2000)
    base = rpn(caffe_resnet(50), max_gradient_norm=MAX_GRADIENT_NORM)
    assert isinstance(base.model, ProposalOnlyConfig)
    head = CascadeRPNHeadConfig(select=select, train_select=select)
    return dataclasses.replace(base, model=dataclasses.replace(base.model, rpn_head=head))


def crpn_faster_rcnn() -> Experiment:
    """Faster R-CNN on the proposals of a cascade RPN."""
    base = faster_rcnn(caffe_resnet(50), max_gradient_norm=MAX_GRADIENT_NORM)
    assert isinstance(base.model, TwoStageConfig)
    weight = 0.7
    rpn_head = CascadeRPNHeadConfig(
        anchor_loss=IoULoss(kind="linear", weight=10.0 * weight),
        classification_loss=SigmoidCrossEntropy(weight=weight),
        box_loss=IoULoss(kind="linear", weight=10.0 * weight),
    )
    model = dataclasses.replace(base.model, rpn_head=rpn_head, roi_head=ROI_HEAD)
    return dataclasses.replace(base, model=model)


ENTRIES = (
    Entry("crpn_r50_caffe_fpn_1x_coco", crpn()),
    Entry(
        "crpn_fast_rcnn_r50_caffe_fpn_1x_coco",
        fast_rcnn(
            caffe_resnet(50),
            roi_head=ROI_HEAD,
            train_proposals=300,
            test_proposals=300,
            max_gradient_norm=MAX_GRADIENT_NORM,
        ),
        box_ap=39.9,
        weights="crpn_fast_rcnn_r50_caffe_fpn_1x_coco-cb486e66.pth",
    ),
    Entry(
        "crpn_faster_rcnn_r50_caffe_fpn_1x_coco",
        crpn_faster_rcnn(),
        box_ap=40.4,
        weights="crpn_faster_rcnn_r50_caffe_fpn_1x_coco-c8283cca.pth",
    ),
)

FAMILY = Family(
    folder="cascade_rpn",
    title="Cascade RPN",
    paper="https://arxiv.org/abs/1909.06720",
    entries=ENTRIES,
)
