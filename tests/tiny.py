"""Detectors that are small enough to be built and run in a moment."""

from __future__ import annotations

from dataclasses import replace

from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.sample import Transform
from detzoo.data.transforms import ShrinkSemanticMap
from detzoo.detectors.panoptic_fpn import PanopticFPNConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.heads.semantic_fpn import SemanticFPNHeadConfig
from detzoo.layers.norm import BatchNormConfig, GroupNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.postprocess.panoptic import HeuristicFusion

BACKBONE = ResNetConfig(depth=18, base_channels=8, frozen_stages=-1, norm=BatchNormConfig())


def tiny_retinanet(
    class_names: tuple[str, ...] = ("cat", "dog"), transforms: tuple[Transform, ...] = ()
) -> Experiment:
    model = SingleStageConfig(
        backbone=BACKBONE,
        neck=FPNConfig(out_channels=8, start_level=1, extra_levels="on_input"),
        bbox_head=RetinaHeadConfig(num_convs=1, channels=8),
    )
    data = DataConfig(train_transforms=transforms, test_transforms=transforms, workers=0)
    return Experiment(model=model, class_names=class_names, data=data)


def tiny_mask_rcnn(
    class_names: tuple[str, ...] = ("cat", "dog"), transforms: tuple[Transform, ...] = ()
) -> Experiment:
    model = TwoStageConfig(
        backbone=BACKBONE,
        neck=FPNConfig(out_channels=8),
        rpn_head=RPNHeadConfig(),
        roi_head=StandardRoIHeadConfig(
            box_head=BoxHeadConfig(fc_channels=16),
            mask_head=MaskHeadConfig(num_convs=1, channels=8),
        ),
    )
    data = DataConfig(
        train_transforms=transforms, test_transforms=transforms, workers=0, masks="bitmap"
    )
    return Experiment(model=model, class_names=class_names, data=data)


def tiny_panoptic_fpn(
    class_names: tuple[str, ...],
    stuff_names: tuple[str, ...],
    transforms: tuple[Transform, ...] = (),
) -> Experiment:
    """For images that are padded to 32 pixels, with a backbone wide enough for more than 64 (with
    four channels, PyTorch's convolutions of larger maps crash)."""
    things = tiny_mask_rcnn(class_names, transforms)
    assert isinstance(things.model, TwoStageConfig)
    model = PanopticFPNConfig(
        backbone=replace(BACKBONE, base_channels=8),
        neck=things.model.neck,
        rpn_head=things.model.rpn_head,
        roi_head=things.model.roi_head,
        semantic_head=SemanticFPNHeadConfig(channels=8, norm=GroupNormConfig(groups=2)),
        fusion=HeuristicFusion(min_stuff_area=1),
    )
    data = replace(things.data, train_transforms=(*transforms, ShrinkSemanticMap(stride=4)))
    return replace(things, model=model, data=data, stuff_names=stuff_names)
