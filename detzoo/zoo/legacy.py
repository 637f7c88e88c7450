"""Models of MMDetection 1.x: anchors and boxes in whole pixels, RoIAlign that is not aligned."""

from __future__ import annotations

import dataclasses

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.resnet import ResNetConfig
from detzoo.coders.delta import DeltaCoder
from detzoo.coders.legacy import LegacyDeltaCoder
from detzoo.data.transforms import Resize
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.dense.ssd import SSDHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.cascade import CascadeRoIHeadConfig, CascadeStage
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.optim.optimizers import SGDConfig
from detzoo.priors.anchors import octave_scales
from detzoo.priors.legacy import LegacyAnchorGrid, LegacySSDAnchors
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import detectron_resnet, resnet
from detzoo.zoo.retinanet import retinanet
from detzoo.zoo.rpn import proposals
from detzoo.zoo.ssd import ANCHORS_300, distorted, ssd

UNALIGNED = PyramidRoIAlignConfig(sampling_ratio=2, aligned=False)
STDS = (0.1, 0.1, 0.2, 0.2)


def legacy_rpn(base: Experiment) -> TwoStageConfig:
    """The model of ``base`` with the RPN of 1.x."""
    model = base.model
    assert isinstance(model, TwoStageConfig)
    assert isinstance(model.rpn_head, RPNHeadConfig)
    rpn_head = dataclasses.replace(
        model.rpn_head,
        priors=LegacyAnchorGrid(),
        coder=LegacyDeltaCoder(),
        box_loss=SmoothL1Loss(beta=1 / 9),
        train_select=proposals(2000, max_detections=2000),
    )
    return dataclasses.replace(model, rpn_head=rpn_head)


def legacy_rcnn(base: Experiment) -> Experiment:
    """Faster or Mask R-CNN of 1.x."""
    model = legacy_rpn(base)
    roi_head = model.roi_head
    assert isinstance(roi_head, StandardRoIHeadConfig)
    assert isinstance(roi_head.box_head, BoxHeadConfig)
    masks = roi_head.mask_head is not None
    roi_head = dataclasses.replace(
        roi_head,
        extractor=UNALIGNED,
        mask_extractor=dataclasses.replace(UNALIGNED, output_size=14) if masks else None,
        box_head=dataclasses.replace(
            roi_head.box_head, coder=LegacyDeltaCoder(stds=STDS), box_loss=SmoothL1Loss(beta=1.0)
        ),
        assigner=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5),
    )
    return dataclasses.replace(base, model=dataclasses.replace(model, roi_head=roi_head))


def legacy_cascade() -> Experiment:
    """Cascade Mask R-CNN of 1.x."""
    base = cascade_mask_rcnn()
    model = legacy_rpn(base)
    roi_head = model.roi_head
    assert isinstance(roi_head, CascadeRoIHeadConfig)
    stages = tuple(_with_legacy_coder(stage) for stage in roi_head.stages)
    roi_head = dataclasses.replace(
        roi_head,
        stages=stages,
        extractor=UNALIGNED,
        mask_extractor=dataclasses.replace(UNALIGNED, output_size=14),
    )
    return dataclasses.replace(base, model=dataclasses.replace(model, roi_head=roi_head))


def _with_legacy_coder(stage: CascadeStage) -> CascadeStage:
    box_head = stage.box_head
    assert isinstance(box_head, BoxHeadConfig)
    assert isinstance(box_head.coder, DeltaCoder)
    coder = LegacyDeltaCoder(stds=box_head.coder.stds)
    return dataclasses.replace(stage, box_head=dataclasses.replace(box_head, coder=coder))


def legacy_retinanet(backbone: ResNetConfig) -> Experiment:
    """RetinaNet of 1.x."""
    base = retinanet(backbone, optimizer=SGDConfig(lr=0.02))
    assert isinstance(base.model, SingleStageConfig)
    assert isinstance(base.model.bbox_head, RetinaHeadConfig)
    bbox_head = dataclasses.replace(
        base.model.bbox_head,
        priors=LegacyAnchorGrid(scales=octave_scales(4.0, 3)),
        coder=LegacyDeltaCoder(),
        box_loss=SmoothL1Loss(beta=0.11),
    )
    return dataclasses.replace(base, model=dataclasses.replace(base.model, bbox_head=bbox_head))


def legacy_ssd() -> Experiment:
    """SSD of 1.x, whose colors are distorted first."""
    *spatial, distortion = distorted(Resize(sizes=((300, 300),), keep_ratio=False))
    base = ssd(train_transforms=(distortion, *spatial))
    assert isinstance(base.model, SingleStageConfig)
    assert isinstance(base.model.bbox_head, SSDHeadConfig)
    anchors = ANCHORS_300
    priors = LegacySSDAnchors(sizes=anchors.sizes, ratios=anchors.ratios, strides=anchors.strides)
    bbox_head = dataclasses.replace(
        base.model.bbox_head, priors=priors, coder=LegacyDeltaCoder(stds=STDS)
    )
    return dataclasses.replace(base, model=dataclasses.replace(base.model, bbox_head=bbox_head))


ENTRIES = (
    Entry("cascade_mask_rcnn_r50_fpn_1x_coco_v1", legacy_cascade()),
    Entry("faster_rcnn_r50_fpn_1x_coco_v1", legacy_rcnn(faster_rcnn())),
    Entry("mask_rcnn_r50_fpn_1x_coco_v1", legacy_rcnn(mask_rcnn())),
    Entry("retinanet_r50_caffe_fpn_1x_coco_v1", legacy_retinanet(detectron_resnet(50))),
    Entry("retinanet_r50_fpn_1x_coco_v1", legacy_retinanet(resnet(50))),
    Entry("ssd300_coco_v1", legacy_ssd()),
)

FAMILY = Family(
    folder="legacy_1.x",
    title="MMDetection 1.x",
    paper="https://arxiv.org/abs/1906.07155",
    entries=ENTRIES,
)
