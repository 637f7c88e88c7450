"""EfficientNet."""

from __future__ import annotations

import dataclasses

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.efficientnet import EfficientNetConfig
from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.retina_sep_norm import RetinaSepNormHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.nas_fpn import FPN, retinanet_crop640

B3 = EfficientNetConfig(
    variant="b3",
    stochastic_depth=0.2,
    norm=BatchNormConfig(synchronized=True, eps=1e-3, momentum=0.01),
    pretrained="https://download.openmmlab.com/mmclassification/v0/efficientnet/{architecture}_3rdparty_8xb32-aa_in1k_20220119-5b4887a0.pth",
)


def retinanet_crop896(backbone: EfficientNetConfig) -> Experiment:
    """RetinaNet as in NAS-FPN, on crops of 896 pixels, 12 epochs."""
    size = (896, 896)
    base = retinanet_crop640(dataclasses.replace(FPN, start_level=0), size=size)
    assert isinstance(base.model, SingleStageConfig)
    assert isinstance(base.model.bbox_head, RetinaSepNormHeadConfig)
    head = dataclasses.replace(
        base.model.bbox_head,
        assigner=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5),
    )
    data = dataclasses.replace(
        base.data,
        test_transforms=(Resize(sizes=(size,)), Pad(size=size)),
        images_per_device=4,
    )
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, backbone=backbone, bbox_head=head),
        data=data,
        optimizer=SGDConfig(lr=0.04, norm_weight_decay_scale=0.0),
        schedule=epochs(12, warmup=Warmup(iterations=1000, ratio=0.1)),
        reference_batch=32,
    )


ENTRIES = (
    Entry(
        "retinanet_effb3_fpn_crop896_8x4_1x_coco",
        retinanet_crop896(B3),
        box_ap=40.5,
        weights="retinanet_effb3_fpn_crop896_8x4_1x_coco_20220322_234806-615a0dda.pth",
    ),
)

FAMILY = Family(
    folder="efficientnet",
    title="EfficientNet",
    paper="https://arxiv.org/abs/1905.11946",
    entries=ENTRIES,
)
