"""The detector trained by the quickstart: Mask R-CNN, narrow enough for two CPU cores."""

from __future__ import annotations

from dataclasses import replace

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.transforms import Flip, Pad, Resize
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import AdamWConfig
from detzoo.optim.schedules import Cosine, Schedule, Warmup
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.samplers.random import RandomSampler


def experiment(class_names: tuple[str, ...], *, epochs: int, size: int = 160) -> Experiment:
    """Mask R-CNN with a half-width ResNet-18, from scratch, for small square scenes."""
    rpn = RPNHeadConfig(
        priors=AnchorGrid(scales=(7.0,)),
        sampler=RandomSampler(num=128, positive_fraction=0.5),
        select=Select(min_score=0.0, pre_nms=300, suppression=NMS(max_iou=0.7), max_detections=100),
        train_select=Select(
            min_score=0.0, pre_nms=300, suppression=NMS(max_iou=0.7), max_detections=200
        ),
    )
    # Shapes are a quarter of the size of COCO's objects, so the scales of the levels are, too.
    regions = PyramidRoIAlignConfig(finest_scale=14.0)
    roi_head = StandardRoIHeadConfig(
        extractor=regions,
        box_head=BoxHeadConfig(fc_channels=256),
        mask_extractor=replace(regions, output_size=14),
        mask_head=MaskHeadConfig(num_convs=2, channels=64),
        assigner=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5),
        sampler=RandomSampler(num=64, positive_fraction=0.25, adds_targets=True),
    )
    model = TwoStageConfig(
        backbone=ResNetConfig(
            depth=18, base_channels=32, frozen_stages=-1, norm=BatchNormConfig(), pretrained=None
        ),
        neck=FPNConfig(out_channels=64),
        rpn_head=rpn,
        roi_head=roi_head,
    )
    fit = (Resize(sizes=((size, size),)), Pad(divisor=32))
    data = DataConfig(
        train_transforms=(*fit[:1], Flip(), *fit[1:]),
        test_transforms=fit,
        images_per_device=4,
        workers=0,
        masks="bitmap",
    )
    return Experiment(
        model=model,
        class_names=class_names,
        data=data,
        optimizer=AdamWConfig(lr=1e-3, weight_decay=0.01),
        schedule=Schedule(
            length=epochs, policy=Cosine(per_iteration=True), warmup=Warmup(iterations=50)
        ),
        reference_batch=4,
        max_gradient_norm=10.0,
        evaluate_every=max(1, epochs // 3),
        checkpoint_every=max(1, epochs // 3),
    )
