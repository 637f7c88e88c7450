"""SCNet."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.data.transforms import ShrinkSemanticMap
from detzoo.experiment import Experiment
from detzoo.heads.roi.scnet import SCNetRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.zoo.cascade_rcnn import EPOCHS_20, cascade_model, cascade_stages
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, experiment, resnet, resnext


def scnet(backbone: BackboneConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """SCNet with FPN, trained like HTC."""
    roi_head = SCNetRoIHeadConfig(
        stages=cascade_stages(match_low_quality=True),
        select=Select(min_score=0.001, suppression=NMS(max_iou=0.5)),
    )
    recipe.setdefault("masks", "bitmap")
    made = experiment(cascade_model(backbone, FPNConfig(), roi_head), **recipe)
    transforms = (*made.data.train_transforms, ShrinkSemanticMap(stride=8))
    return dataclasses.replace(
        made, data=dataclasses.replace(made.data, train_transforms=transforms)
    )


ENTRIES = (
    Entry(
        "scnet_r101_fpn_20e_coco",
        scnet(resnet(101), schedule=EPOCHS_20),
        box_ap=45.8,
        mask_ap=40.9,
        memory_gb=8.9,
        inference_ms=172.41,
        weights="scnet_r101_fpn_20e_coco-294e312c.pth",
    ),
    Entry(
        "scnet_r50_fpn_1x_coco",
        scnet(),
        box_ap=43.5,
        mask_ap=39.2,
        memory_gb=7.0,
        inference_ms=161.29,
        weights="scnet_r50_fpn_1x_coco-c3f09857.pth",
    ),
    Entry(
        "scnet_r50_fpn_20e_coco",
        scnet(schedule=EPOCHS_20),
        box_ap=44.5,
        mask_ap=40.0,
        memory_gb=7.0,
        inference_ms=161.29,
        weights="scnet_r50_fpn_20e_coco-a569f645.pth",
    ),
    Entry(
        "scnet_x101_64x4d_fpn_20e_coco",
        scnet(resnext(64, 4), schedule=EPOCHS_20),
        box_ap=47.5,
        mask_ap=42.3,
        memory_gb=13.2,
        inference_ms=204.08,
        weights="scnet_x101_64x4d_fpn_20e_coco-fb09dec9.pth",
    ),
    Entry(
        "scnet_x101_64x4d_fpn_8x1_20e_coco",
        scnet(
            resnext(64, 4),
            schedule=EPOCHS_20,
            images_per_device=1,
            workers=1,
            optimizer=SGDConfig(lr=0.01),
            reference_batch=8,
        ),
    ),
)

FAMILY = Family(
    folder="scnet",
    title="SCNet",
    paper="https://arxiv.org/abs/2012.10150",
    entries=ENTRIES,
)
