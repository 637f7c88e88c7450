"""Mask R-CNN from scratch on strongly jittered scales, with norms that learn everywhere."""

from __future__ import annotations

import dataclasses
from typing import Literal

from typing_extensions import Unpack

from detzoo.backbones.pretrained import CAFFE
from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.sample import Transform
from detzoo.data.transforms import Crop, FilterBoxes, Flip, Pad, Resize
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import Recipe

SYNCHRONIZED = BatchNormConfig(synchronized=True)
SIZE = (1024, 1024)


def jittered(ratio_range: tuple[float, float]) -> tuple[Transform, ...]:
    """Images scaled by a random factor and cut out at 1024x1024."""
    return (
        Resize(sizes=(SIZE,), ratio_range=ratio_range),
        Crop(size=SIZE, kind="absolute_range", allow_empty=True, boxes_from_masks=True),
        FilterBoxes(min_size=(0.01, 0.01)),
        Flip(),
        Pad(size=SIZE),
    )


def normed_mask_rcnn(
    backbone: ResNetConfig, transforms: tuple[Transform, ...], **recipe: Unpack[Recipe]
) -> Experiment:
    """Mask R-CNN with norms in all parts but the RPN, which has two hidden layers."""
    recipe.setdefault("optimizer", SGDConfig(lr=0.1, weight_decay=4e-5))
    base = mask_rcnn(
        backbone,
        neck=FPNConfig(norm=SYNCHRONIZED),
        box_head=BoxHeadConfig(num_shared_convs=4, num_shared_fcs=1, norm=SYNCHRONIZED),
        mask_head=MaskHeadConfig(norm=SYNCHRONIZED),
        **recipe,
    )
    assert isinstance(base.model, TwoStageConfig)
    assert isinstance(base.model.rpn_head, RPNHeadConfig)
    rpn_head = dataclasses.replace(base.model.rpn_head, num_convs=2)
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, rpn_head=rpn_head),
        data=dataclasses.replace(base.data, train_transforms=transforms),
    )


def strong(
    style: Literal["pytorch", "caffe"] = "pytorch",
    *,
    warmup: int = 500,
    **recipe: Unpack[Recipe],
) -> Experiment:
    """25 times four passes over the data, with large scale jittering."""
    recipe.setdefault("repeats", 4)
    recipe["schedule"] = epochs(
        25, milestones=(22, 24), warmup=Warmup(iterations=warmup, ratio=0.067)
    )
    recipe["evaluate_every"] = 5
    backbone = ResNetConfig(style=style, frozen_stages=-1, norm=SYNCHRONIZED)
    made = normed_mask_rcnn(backbone, jittered((0.1, 2.0)), **recipe)
    if style == "pytorch":
        return made
    return dataclasses.replace(made, model=dataclasses.replace(made.model, pixels=CAFFE))


ENTRIES = (
    Entry("mask_rcnn_r50_caffe_fpn_syncbn-all_rpn-2conv_lsj_100e_coco", strong("caffe")),
    Entry(
        "mask_rcnn_r50_caffe_fpn_syncbn-all_rpn-2conv_lsj_100e_fp16_coco",
        strong("caffe", precision="fp16", loss_scale=512.0),
    ),
    Entry(
        "mask_rcnn_r50_caffe_fpn_syncbn-all_rpn-2conv_lsj_400e_coco",
        strong("caffe", repeats=16, warmup=2000),
    ),
    Entry("mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_lsj_100e_coco", strong()),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_lsj_100e_fp16_coco",
        strong(precision="fp16", loss_scale=512.0),
    ),
    Entry("mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_lsj_50e_coco", strong(repeats=2)),
)

FAMILY = Family(
    folder="strong_baselines",
    title="Strong baselines",
    paper="https://arxiv.org/abs/2012.07177",
    entries=ENTRIES,
)
