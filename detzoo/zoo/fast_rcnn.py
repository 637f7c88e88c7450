"""Fast R-CNN on precomputed proposals."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.necks.base import NeckConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, caffe_resnet, experiment, resnet


def fast_rcnn(
    backbone: BackboneConfig = resnet(50),
    *,
    neck: NeckConfig = FPNConfig(),
    roi_head: StandardRoIHeadConfig = StandardRoIHeadConfig(),
    train_proposals: int = 2000,
    test_proposals: int | None = None,
    **recipe: Unpack[Recipe],
) -> Experiment:
    """Faster R-CNN without its RPN: the best proposals of each image are read from a file."""
    model = TwoStageConfig(backbone=backbone, neck=neck, rpn_head=None, roi_head=roi_head)
    made = experiment(model, **recipe)
    data = dataclasses.replace(
        made.data, train_proposals=train_proposals, test_proposals=test_proposals
    )
    return dataclasses.replace(made, data=data)


ENTRIES = (
    Entry(
        "fast_rcnn_r101_caffe_fpn_1x_coco",
        fast_rcnn(caffe_resnet(101)),
    ),
    Entry(
        "fast_rcnn_r101_fpn_1x_coco",
        fast_rcnn(resnet(101)),
    ),
    Entry(
        "fast_rcnn_r101_fpn_2x_coco",
        fast_rcnn(resnet(101), schedule=epochs(24)),
    ),
    Entry(
        "fast_rcnn_r50_caffe_fpn_1x_coco",
        fast_rcnn(caffe_resnet(50)),
    ),
    Entry(
        "fast_rcnn_r50_fpn_1x_coco",
        fast_rcnn(),
    ),
    Entry(
        "fast_rcnn_r50_fpn_2x_coco",
        fast_rcnn(schedule=epochs(24)),
    ),
)

FAMILY = Family(
    folder="fast_rcnn",
    title="Fast R-CNN",
    paper="https://arxiv.org/abs/1504.08083",
    entries=ENTRIES,
)
