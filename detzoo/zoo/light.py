"""detzoo's own small detectors, for small data sets and machines without a GPU.

They are not part of MMDetection's zoo: MobileNetV2 with a narrow pyramid and narrow heads, trained
at half the usual image size. The backbone has torchvision's weights.
"""

from __future__ import annotations

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.data.transforms import Flip, Pad, Resize
from detzoo.detectors.base import DetectorConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import AdamWConfig
from detzoo.optim.schedules import Cosine, Schedule, Warmup
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import SAMPLER
from detzoo.zoo.parts import FIXED
from detzoo.zoo.rpn import proposals

CHANNELS = 96
BACKBONE = MobileNetV2Config(pretrained="torchvision://{architecture}", norm=FIXED)


def light(model: DetectorConfig, *, with_masks: bool = False) -> Experiment:
    """The recipe: 640x480, 24 epochs of AdamW with cosine decay."""
    fit = Resize(sizes=((640, 480),))
    return Experiment(
        model=model,
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=(fit, Flip(), Pad(divisor=32)),
            test_transforms=(fit, Pad(divisor=32)),
            images_per_device=4,
            masks="polygon" if with_masks else "none",
        ),
        optimizer=AdamWConfig(lr=5e-4, weight_decay=0.05, norm_weight_decay_scale=0.0),
        schedule=Schedule(
            length=24, policy=Cosine(per_iteration=True), warmup=Warmup(iterations=200)
        ),
        reference_batch=4,
        max_gradient_norm=10.0,
    )


def retinanet() -> Experiment:
    """RetinaNet with FPN levels P3-P7."""
    return light(
        SingleStageConfig(
            backbone=BACKBONE,
            neck=FPNConfig(out_channels=CHANNELS, start_level=1, extra_levels="on_input"),
            bbox_head=RetinaHeadConfig(channels=CHANNELS, num_convs=2),
        )
    )


def mask_rcnn() -> Experiment:
    """Mask R-CNN with FPN levels P2-P6."""
    roi_head = StandardRoIHeadConfig(
        box_head=BoxHeadConfig(fc_channels=512),
        mask_extractor=PyramidRoIAlignConfig(output_size=14),
        mask_head=MaskHeadConfig(num_convs=2, channels=CHANNELS),
        assigner=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5),
        sampler=SAMPLER,
    )
    model = TwoStageConfig(
        backbone=BACKBONE,
        neck=FPNConfig(out_channels=CHANNELS),
        rpn_head=RPNHeadConfig(select=proposals(300, 300), train_select=proposals(500, 500)),
        roi_head=roi_head,
    )
    return light(model, with_masks=True)


ENTRIES = (
    Entry("retinanet_mobilenetv2_fpn", retinanet()),
    Entry("mask_rcnn_mobilenetv2_fpn", mask_rcnn()),
)

FAMILY = Family(
    folder="light",
    title="Light",
    paper="https://arxiv.org/abs/1801.04381",
    entries=ENTRIES,
)
