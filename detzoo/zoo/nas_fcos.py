"""NAS-FCOS."""

from __future__ import annotations

import dataclasses

from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.fcos import FCOSHeadConfig, NASFCOSHeadConfig, PointwiseHeadConfig
from detzoo.necks.nas_fcos import NASFCOSPyramidConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import FROZEN, caffe_resnet, experiment

SELECT = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
BACKBONE = dataclasses.replace(caffe_resnet(50), norm=dataclasses.replace(FROZEN, eps=0.0))


def nas_fcos(head: PointwiseHeadConfig) -> Experiment:
    """NAS-FCOS with levels P3-P7; biases have twice the learning rate and no weight decay."""
    model = SingleStageConfig(backbone=BACKBONE, neck=NASFCOSPyramidConfig(), bbox_head=head)
    optimizer = SGDConfig(lr=0.01, bias_lr_scale=2.0, bias_weight_decay_scale=0.0)
    return experiment(model, images_per_device=4, optimizer=optimizer)


ENTRIES = (
    Entry(
        "nas_fcos_fcoshead_r50_caffe_fpn_gn-head_4x4_1x_coco",
        nas_fcos(FCOSHeadConfig(select=SELECT)),
        box_ap=38.5,
        weights="nas_fcos_fcoshead_r50_caffe_fpn_gn-head_4x4_1x_coco_20200521-7fdcbce0.pth",
    ),
    Entry(
        "nas_fcos_nashead_r50_caffe_fpn_gn-head_4x4_1x_coco",
        nas_fcos(NASFCOSHeadConfig(select=SELECT)),
        box_ap=39.4,
        weights="nas_fcos_nashead_r50_caffe_fpn_gn-head_4x4_1x_coco_20200520-1bdba3ce.pth",
    ),
)

FAMILY = Family(
    folder="nas_fcos",
    title="NAS-FCOS",
    paper="https://arxiv.org/abs/1906.04423",
    entries=ENTRIES,
)
