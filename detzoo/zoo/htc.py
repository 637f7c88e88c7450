"""Hybrid Task Cascade."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.data.transforms import ShrinkSemanticMap
from detzoo.experiment import Experiment
from detzoo.heads.roi.htc import HTCRoIHeadConfig
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.necks.base import NeckConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.zoo.cascade_rcnn import EPOCHS_20, cascade_model, cascade_stages
from detzoo.zoo.dcn import deformable
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, experiment, resnet, resnext

DCN_RESNEXT = deformable(resnext(64, 4))


def htc(
    backbone: BackboneConfig = resnet(50),
    *,
    neck: NeckConfig = FPNConfig(),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """HTC with FPN, trained on COCO's objects and COCO-Stuff's semantic maps."""
    roi_head = HTCRoIHeadConfig(
        stages=cascade_stages(match_low_quality=True), semantic_head=SemanticHeadConfig()
    )
    recipe.setdefault("masks", "bitmap")
    made = experiment(cascade_model(backbone, neck, roi_head), **recipe)
    transforms = (*made.data.train_transforms, ShrinkSemanticMap(stride=8))
    data = dataclasses.replace(made.data, train_transforms=transforms)
    return dataclasses.replace(made, data=data)


def htc_without_semantic(**recipe: Unpack[Recipe]) -> Experiment:
    """The same without the semantic branch."""
    roi_head = HTCRoIHeadConfig(stages=cascade_stages(match_low_quality=True))
    recipe.setdefault("masks", "bitmap")
    return experiment(cascade_model(resnet(50), FPNConfig(), roi_head), **recipe)


ENTRIES = (
    Entry(
        "htc_r101_fpn_20e_coco",
        htc(resnet(101), schedule=EPOCHS_20),
        box_ap=44.8,
        mask_ap=39.6,
        memory_gb=10.2,
        inference_ms=181.82,
        weights="htc_r101_fpn_20e_coco_20200317-9b41b48f.pth",
    ),
    Entry(
        "htc_r50_fpn_1x_coco",
        htc(),
        box_ap=42.3,
        mask_ap=37.4,
        memory_gb=8.2,
        inference_ms=172.41,
        weights="htc_r50_fpn_1x_coco_20200317-7332cf16.pth",
    ),
    Entry(
        "htc_r50_fpn_20e_coco",
        htc(schedule=EPOCHS_20),
        box_ap=43.3,
        mask_ap=38.3,
        memory_gb=8.2,
        inference_ms=172.41,
        weights="htc_r50_fpn_20e_coco_20200319-fe28c577.pth",
    ),
    Entry(
        "htc_without_semantic_r50_fpn_1x_coco",
        htc_without_semantic(),
    ),
    Entry(
        "htc_x101_32x4d_fpn_16x1_20e_coco",
        htc(resnext(32, 4), schedule=EPOCHS_20, images_per_device=1, workers=1),
        box_ap=46.1,
        mask_ap=40.5,
        memory_gb=11.4,
        inference_ms=200.0,
        weights="htc_x101_32x4d_fpn_16x1_20e_coco_20200318-de97ae01.pth",
    ),
    Entry(
        "htc_x101_64x4d_fpn_16x1_20e_coco",
        htc(resnext(64, 4), schedule=EPOCHS_20, images_per_device=1, workers=1),
        box_ap=47.0,
        mask_ap=41.4,
        memory_gb=14.5,
        inference_ms=227.27,
        weights="htc_x101_64x4d_fpn_16x1_20e_coco_20200318-b181fd7a.pth",
    ),
    Entry(
        "htc_x101_64x4d_fpn_dconv_c3-c5_mstrain_400_1400_16x1_20e_coco",
        htc(
            DCN_RESNEXT,
            schedule=EPOCHS_20,
            images_per_device=1,
            workers=1,
            sizes=((1600, 400), (1600, 1400)),
            size_mode="range",
        ),
        box_ap=50.4,
        mask_ap=43.8,
        weights="htc_x101_64x4d_fpn_dconv_c3-c5_mstrain_400_1400_16x1_20e_coco_20200312-946fd751.pth",
    ),
)

FAMILY = Family(
    folder="htc",
    title="Hybrid Task Cascade",
    paper="https://arxiv.org/abs/1901.07518",
    entries=ENTRIES,
)
