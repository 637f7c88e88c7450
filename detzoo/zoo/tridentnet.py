"""TridentNet."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.trident_resnet import TridentResNetConfig
from detzoo.detectors.trident import TridentConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.samplers.random import RandomSampler
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn_c4
from detzoo.zoo.parts import EPOCHS_36_CAFFE, FROZEN, SIX_SIZES, Recipe
from detzoo.zoo.rpn import proposals


def tridentnet(**recipe: Unpack[Recipe]) -> Experiment:
    """Faster R-CNN on the third stage of a Caffe ResNet-50, in three branches."""
    base = faster_rcnn_c4(**recipe)
    assert isinstance(base.model, TwoStageConfig)
    assert isinstance(base.model.rpn_head, RPNHeadConfig)
    assert isinstance(base.model.roi_head, StandardRoIHeadConfig)
    model = TridentConfig(
        backbone=TridentResNetConfig(
            style="caffe",
            pretrained="open-mmlab://detectron2/{architecture}_caffe",
            norm=FROZEN,
        ),
        rpn_head=dataclasses.replace(
            base.model.rpn_head, train_select=proposals(12000, max_detections=500)
        ),
        roi_head=dataclasses.replace(
            base.model.roi_head, sampler=RandomSampler(num=128, positive_fraction=0.5)
        ),
    )
    return dataclasses.replace(base, model=model)


ENTRIES = (
    Entry(
        "tridentnet_r50_caffe_1x_coco",
        tridentnet(),
        box_ap=37.7,
        weights="tridentnet_r50_caffe_1x_coco_20201230_141838-2ec0b530.pth",
    ),
    Entry(
        "tridentnet_r50_caffe_mstrain_1x_coco",
        tridentnet(sizes=SIX_SIZES),
        box_ap=37.6,
        weights="tridentnet_r50_caffe_mstrain_1x_coco_20201230_141839-6ce55ccb.pth",
    ),
    Entry(
        "tridentnet_r50_caffe_mstrain_3x_coco",
        tridentnet(sizes=SIX_SIZES, schedule=EPOCHS_36_CAFFE),
        box_ap=40.3,
        weights="tridentnet_r50_caffe_mstrain_3x_coco_20201130_100539-46d227ba.pth",
    ),
)

FAMILY = Family(
    folder="tridentnet",
    title="TridentNet",
    paper="https://arxiv.org/abs/1901.01892",
    entries=ENTRIES,
)
