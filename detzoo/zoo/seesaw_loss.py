"""Seesaw loss on LVIS."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.base import BackboneConfig
from detzoo.experiment import Experiment
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.losses.seesaw import SeesawLossConfig
from detzoo.optim.schedules import epochs
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.zoo.cascade_rcnn import BOX_HEAD, cascade_mask_rcnn, cascade_stages
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.lvis_classes import LVIS_V1
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import SIX_SIZES, Recipe, resnet

# LVIS evaluates up to 300 detections per image, and rare classes have low scores.
SELECT = Select(min_score=1e-4, suppression=NMS(max_iou=0.5), max_detections=300)
LVIS: Recipe = {
    "class_names": LVIS_V1,
    "sizes": SIX_SIZES,
    "schedule": epochs(24),
    "evaluate_every": 24,
}
# The fraction of images below which a class is rare: see ``DataConfig.oversample_threshold``.
RARE = 1e-3
NORMALIZED_MASKS = MaskHeadConfig(normalized_predictor=True)


def seesaw_mask_rcnn(
    backbone: BackboneConfig,
    *,
    mask_head: MaskHeadConfig = MaskHeadConfig(),
    oversample_threshold: float | None = None,
) -> Experiment:
    """Mask R-CNN with Seesaw loss."""
    recipe: Recipe = {**LVIS, "evaluate_every": 24 if oversample_threshold is None else 12}
    made = mask_rcnn(
        backbone, box_head=seesaw(BoxHeadConfig()), mask_head=mask_head, select=SELECT, **recipe
    )
    return oversampled(made, oversample_threshold)


def seesaw_cascade_mask_rcnn(
    backbone: BackboneConfig,
    *,
    mask_head: MaskHeadConfig = MaskHeadConfig(),
    oversample_threshold: float | None = None,
) -> Experiment:
    """Cascade Mask R-CNN with Seesaw loss in every stage."""
    stages = cascade_stages(seesaw(BOX_HEAD))
    made = cascade_mask_rcnn(backbone, stages=stages, mask_head=mask_head, select=SELECT, **LVIS)
    return oversampled(made, oversample_threshold)


def seesaw(box_head: BoxHeadConfig) -> BoxHeadConfig:
    """The box head with Seesaw loss and a normalized classifier."""
    return dataclasses.replace(
        box_head, normalized_classifier=True, classification_loss=SeesawLossConfig()
    )


def oversampled(experiment: Experiment, threshold: float | None) -> Experiment:
    """The experiment with images of rare classes oversampled, or without oversampling."""
    data = dataclasses.replace(experiment.data, oversample_threshold=threshold)
    return dataclasses.replace(experiment, data=data)


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_r101_fpn_random_seesaw_loss_mstrain_2x_lvis_v1",
        seesaw_cascade_mask_rcnn(resnet(101)),
        box_ap=33.1,
        mask_ap=29.2,
        weights="seesaw_loss/cascade_mask_rcnn_r101_fpn_random_seesaw_loss_mstrain_2x_lvis_v1-71e2215e.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r101_fpn_random_seesaw_loss_normed_mask_mstrain_2x_lvis_v1",
        seesaw_cascade_mask_rcnn(resnet(101), mask_head=NORMALIZED_MASKS),
        box_ap=33.0,
        mask_ap=30.0,
        weights="seesaw_loss/cascade_mask_rcnn_r101_fpn_random_seesaw_loss_normed_mask_mstrain_2x_lvis_v1-8b5a6745.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_mstrain_2x_lvis_v1",
        seesaw_cascade_mask_rcnn(resnet(101), oversample_threshold=RARE),
        box_ap=30.0,
        mask_ap=29.3,
        weights="seesaw_loss/cascade_mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_mstrain_2x_lvis_v1-5d8ca2a4.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_normed_mask_mstrain_2x_lvis_v1",
        seesaw_cascade_mask_rcnn(
            resnet(101), mask_head=NORMALIZED_MASKS, oversample_threshold=RARE
        ),
        box_ap=32.8,
        mask_ap=30.1,
        weights="seesaw_loss/cascade_mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_normed_mask_mstrain_2x_lvis_v1-c8551505.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_random_seesaw_loss_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(101)),
        box_ap=27.4,
        mask_ap=26.7,
        weights="seesaw_loss/mask_rcnn_r101_fpn_random_seesaw_loss_mstrain_2x_lvis_v1-8e6e6dd5.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_random_seesaw_loss_normed_mask_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(101), mask_head=NORMALIZED_MASKS),
        box_ap=27.2,
        mask_ap=27.3,
        weights="seesaw_loss/mask_rcnn_r101_fpn_random_seesaw_loss_normed_mask_mstrain_2x_lvis_v1-a0b59c42.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(101), oversample_threshold=RARE),
        box_ap=28.9,
        mask_ap=27.6,
        weights="seesaw_loss/mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_mstrain_2x_lvis_v1-e68eb464.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_normed_mask_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(101), mask_head=NORMALIZED_MASKS, oversample_threshold=RARE),
        box_ap=28.9,
        mask_ap=28.2,
        weights="seesaw_loss/mask_rcnn_r101_fpn_sample1e-3_seesaw_loss_normed_mask_mstrain_2x_lvis_v1-1d817139.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(50)),
        box_ap=25.6,
        mask_ap=25.0,
        weights="seesaw_loss/mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1-a698dd3d.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_random_seesaw_loss_normed_mask_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(50), mask_head=NORMALIZED_MASKS),
        box_ap=25.6,
        mask_ap=25.4,
        weights="seesaw_loss/mask_rcnn_r50_fpn_random_seesaw_loss_normed_mask_mstrain_2x_lvis_v1-a1c11314.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_sample1e-3_seesaw_loss_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(50), oversample_threshold=RARE),
        box_ap=27.6,
        mask_ap=26.4,
        weights="seesaw_loss/mask_rcnn_r50_fpn_sample1e-3_seesaw_loss_mstrain_2x_lvis_v1-392a804b.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_sample1e-3_seesaw_loss_normed_mask_mstrain_2x_lvis_v1",
        seesaw_mask_rcnn(resnet(50), mask_head=NORMALIZED_MASKS, oversample_threshold=RARE),
        box_ap=27.6,
        mask_ap=26.8,
        weights="seesaw_loss/mask_rcnn_r50_fpn_sample1e-3_seesaw_loss_normed_mask_mstrain_2x_lvis_v1-cd0f6a12.pth",
    ),
)

FAMILY = Family(
    folder="seesaw_loss",
    title="Seesaw Loss",
    paper="https://arxiv.org/abs/2008.10032",
    entries=ENTRIES,
)
