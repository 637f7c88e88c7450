"""YOLOX."""

from __future__ import annotations

from detzoo.backbones.csp_darknet import CSPDarknetConfig
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.data.sample import Transform
from detzoo.data.transforms import (
    FilterBoxes,
    Flip,
    MixUp,
    Mosaic,
    Pad,
    RandomAffine,
    RandomHSV,
    Resize,
)
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import DataConfig, Experiment, FinalEpochs
from detzoo.heads.dense.yolox import YOLOXHeadConfig
from detzoo.necks.yolox_pafpn import YOLOXPAFPNConfig
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Schedule, YOLOXCosine
from detzoo.structures import Pixels
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family

# Unnormalized pixels, with gray padding.
RAW_PIXELS = Pixels(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="bgr", padding=114.0)
PLAIN = (
    RandomHSV(),
    Flip(),
    Resize(sizes=((640, 640),)),
    Pad(square=True),
    FilterBoxes(min_size=(1.0, 1.0), allow_empty=True),
)


def yolox(depth: float, width: float) -> Experiment:
    """YOLOX with CSPDarknet and its neck scaled in depth and width."""
    mixed = (
        Mosaic(),
        RandomAffine(scale_range=(0.1, 2.0), border=(-320, -320)),
        MixUp(scale_range=(0.8, 1.6)),
    )
    return _yolox(depth, width, mixed, multiples=(15, 25), test_side=640)


def light_yolox(width: float, *, depthwise: bool = False) -> Experiment:
    """YOLOX for small devices: weaker augmentation, 416 pixels."""
    mixed = (Mosaic(), RandomAffine(scale_range=(0.5, 1.5), border=(-320, -320)))
    return _yolox(0.33, width, mixed, multiples=(10, 20), test_side=416, depthwise=depthwise)


def _yolox(
    depth: float,
    width: float,
    mixed: tuple[Transform, ...],
    *,
    multiples: tuple[int, int],
    test_side: int,
    depthwise: bool = False,
) -> Experiment:
    channels = int(256 * width)
    return Experiment(
        model=SingleStageConfig(
            backbone=CSPDarknetConfig(depth_factor=depth, width_factor=width, depthwise=depthwise),
            neck=YOLOXPAFPNConfig(
                out_channels=channels, num_blocks=round(3 * depth), depthwise=depthwise
            ),
            bbox_head=YOLOXHeadConfig(channels=channels, depthwise=depthwise),
            pixels=RAW_PIXELS,
        ),
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=(*mixed, *PLAIN),
            test_transforms=(Resize(sizes=((test_side, test_side),)), Pad(square=True)),
            images_per_device=8,
            workers=4,
            skip_empty=False,
            batch_resize=RandomBatchResize(multiples=multiples),
        ),
        optimizer=SGDConfig(
            lr=0.01,
            weight_decay=5e-4,
            nesterov=True,
            norm_weight_decay_scale=0.0,
            bias_weight_decay_scale=0.0,
        ),
        schedule=Schedule(length=300, policy=YOLOXCosine(), warmup=None),
        reference_batch=64,
        ema=EMAConfig(),
        # MMDetection switches one epoch before the last fifteen of the schedule.
        final=FinalEpochs(epochs=16, transforms=PLAIN),
        evaluate_every=10,
        checkpoint_every=10,
    )


ENTRIES = (
    Entry(
        "yolox_l_8x8_300e_coco",
        yolox(1.0, 1.0),
        box_ap=49.4,
        memory_gb=19.9,
        weights="yolox_l_8x8_300e_coco_20211126_140236-d3bd2b23.pth",
    ),
    Entry("yolox_m_8x8_300e_coco", yolox(0.67, 0.75)),
    Entry("yolox_nano_8x8_300e_coco", light_yolox(0.25, depthwise=True)),
    Entry(
        "yolox_s_8x8_300e_coco",
        yolox(0.33, 0.5),
        box_ap=40.5,
        memory_gb=7.6,
        weights="yolox_s_8x8_300e_coco_20211121_095711-4592a793.pth",
    ),
    Entry(
        "yolox_tiny_8x8_300e_coco",
        light_yolox(0.375),
        box_ap=32.0,
        memory_gb=3.5,
        weights="yolox_tiny_8x8_300e_coco_20211124_171234-b4047906.pth",
    ),
    Entry(
        "yolox_x_8x8_300e_coco",
        yolox(1.33, 1.25),
        box_ap=50.9,
        memory_gb=28.1,
        weights="yolox_x_8x8_300e_coco_20211126_140254-1ef88d67.pth",
    ),
)

FAMILY = Family(
    folder="yolox",
    title="YOLOX",
    paper="https://arxiv.org/abs/2107.08430",
    entries=ENTRIES,
)
