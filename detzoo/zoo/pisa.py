"""Prime sample attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.pisa import PISARetinaHeadConfig, PISASSDHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.dense.ssd import SSDHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.pisa import PISARoIHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.samplers.score_rank import ScoreRankSampler
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet, resnext
from detzoo.zoo.retinanet import retinanet
from detzoo.zoo.rpn import proposals
from detzoo.zoo.ssd import SSD300, SSD512, Size, ssd

# As many proposals in inference as in training.
RPN = RPNHeadConfig(
    select=proposals(2000, max_detections=2000), train_select=proposals(2000, max_detections=2000)
)
BOX_HEAD = BoxHeadConfig(box_loss=SmoothL1Loss())


def pisa_rcnn(base: Experiment) -> Experiment:
    """The two-stage detector, trained with prime sample attention."""
    assert isinstance(base.model, TwoStageConfig)
    standard = base.model.roi_head
    assert isinstance(standard, StandardRoIHeadConfig)
    settings = _fields(standard) | {
        "sampler": ScoreRankSampler(num=512, positive_fraction=0.25, adds_targets=True)
    }
    roi_head = PISARoIHeadConfig(**settings)
    return dataclasses.replace(
        base, model=dataclasses.replace(base.model, rpn_head=RPN, roi_head=roi_head)
    )


def pisa_faster_rcnn(backbone: ResNetConfig) -> Experiment:
    return pisa_rcnn(faster_rcnn(backbone, box_head=BOX_HEAD))


def pisa_mask_rcnn(backbone: ResNetConfig) -> Experiment:
    return pisa_rcnn(mask_rcnn(backbone, box_head=BOX_HEAD))


def pisa_retinanet(backbone: ResNetConfig) -> Experiment:
    base = retinanet(backbone)
    assert isinstance(base.model, SingleStageConfig)
    head = PISARetinaHeadConfig(box_loss=SmoothL1Loss(beta=0.11))
    return dataclasses.replace(base, model=dataclasses.replace(base.model, bbox_head=head))


def pisa_ssd(size: Size) -> Experiment:
    """SSD with prime sample attention; gradients are clipped."""
    base = ssd(size, max_gradient_norm=35.0)
    assert isinstance(base.model, SingleStageConfig)
    standard = base.model.bbox_head
    assert isinstance(standard, SSDHeadConfig)
    head = PISASSDHeadConfig(**_fields(standard))
    return dataclasses.replace(base, model=dataclasses.replace(base.model, bbox_head=head))


def _fields(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


ENTRIES = (
    Entry(
        "pisa_faster_rcnn_r50_fpn_1x_coco",
        pisa_faster_rcnn(resnet(50)),
        box_ap=38.4,
        weights="pisa_faster_rcnn_r50_fpn_1x_coco-dea93523.pth",
    ),
    Entry(
        "pisa_faster_rcnn_x101_32x4d_fpn_1x_coco",
        pisa_faster_rcnn(resnext(32, 4)),
        box_ap=41.9,
        weights="pisa_faster_rcnn_x101_32x4d_fpn_1x_coco-e4accec4.pth",
    ),
    Entry(
        "pisa_mask_rcnn_r50_fpn_1x_coco",
        pisa_mask_rcnn(resnet(50)),
        box_ap=39.1,
        mask_ap=35.2,
        weights="pisa_mask_rcnn_r50_fpn_1x_coco-dfcedba6.pth",
    ),
    Entry("pisa_mask_rcnn_x101_32x4d_fpn_1x_coco", pisa_mask_rcnn(resnext(32, 4))),
    Entry(
        "pisa_retinanet_r50_fpn_1x_coco",
        pisa_retinanet(resnet(50)),
        box_ap=36.9,
        weights="pisa_retinanet_r50_fpn_1x_coco-76409952.pth",
    ),
    Entry(
        "pisa_retinanet_x101_32x4d_fpn_1x_coco",
        pisa_retinanet(resnext(32, 4)),
        box_ap=40.7,
        weights="pisa_retinanet_x101_32x4d_fpn_1x_coco-a0c13c73.pth",
    ),
    Entry(
        "pisa_ssd300_coco",
        pisa_ssd(SSD300),
        box_ap=27.6,
        weights="pisa_ssd300_coco-710e3ac9.pth",
    ),
    Entry(
        "pisa_ssd512_coco",
        pisa_ssd(SSD512),
        box_ap=31.8,
        weights="pisa_ssd512_coco-247addee.pth",
    ),
)

FAMILY = Family(
    folder="pisa",
    title="PISA",
    paper="https://arxiv.org/abs/1904.04821",
    entries=ENTRIES,
)
