"""SSD and SSDLite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from typing_extensions import TypedDict, Unpack

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.backbones.ssd_vgg import SSDVGGConfig
from detzoo.data.sample import Transform
from detzoo.data.transforms import (
    Expand,
    Flip,
    MinIoUCrop,
    Pad,
    PhotometricDistortion,
    Resize,
)
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import DataConfig, Experiment, Metric
from detzoo.heads.dense.ssd import SSDHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.ssd import SSDNeckConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Cosine, Schedule, Warmup, epochs
from detzoo.priors.ssd import SSDAnchors
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family

# torchvision's mean color, in the order of decoded images.
MEAN_BGR = (103.53, 116.28, 123.675)
WARMUP_FP16 = Warmup(iterations=1000, ratio=0.1)
LITE_NORM = BatchNormConfig(eps=1e-3, momentum=0.03)

ANCHORS_300 = SSDAnchors(
    sizes=(21, 45, 99, 153, 207, 261, 315),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    strides=(8, 16, 32, 64, 100, 300),
)
ANCHORS_512 = SSDAnchors(
    sizes=(20, 51, 133, 215, 296, 378, 460, 542),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    strides=(8, 16, 32, 64, 128, 256, 512),
)
ANCHORS_LITE = SSDAnchors(
    sizes=(48, 100, 150, 202, 253, 304, 320),
    ratios=((2, 3),) * 6,
    strides=(16, 32, 64, 107, 160, 320),
)


@dataclass(frozen=True)
class Size:
    """One of the two published sizes of SSD: pixels, levels and their default boxes."""

    pixels: int
    neck: SSDNeckConfig
    anchors: SSDAnchors


SSD300 = Size(pixels=300, neck=SSDNeckConfig(), anchors=ANCHORS_300)
SSD512 = Size(
    pixels=512,
    neck=SSDNeckConfig(
        channels=(512, 256, 256, 256, 256),
        strides=(2, 2, 2, 2, 1),
        paddings=(1, 1, 1, 1, 1),
        last_kernel_size=4,
    ),
    anchors=ANCHORS_512,
)


class Recipe(TypedDict, total=False):
    """Variable settings of training, apart from the model; see :func:`ssd`."""

    class_names: tuple[str, ...]
    train_transforms: tuple[Transform, ...]
    images_per_device: int
    workers: int
    repeats: int
    min_object_size: float
    metric: Metric | None
    optimizer: SGDConfig
    schedule: Schedule
    reference_batch: int
    precision: Literal["fp32", "fp16"]
    max_gradient_norm: float | None


def ssd(
    size: Size = SSD300, anchors: SSDAnchors | None = None, **recipe: Unpack[Recipe]
) -> Experiment:
    """SSD on VGG-16 with six levels (seven for 512 pixels), trained with strong augmentation."""
    fit = Resize(sizes=((size.pixels, size.pixels),), keep_ratio=False)
    return Experiment(
        model=SingleStageConfig(
            backbone=SSDVGGConfig(pretrained="open-mmlab://{architecture}_caffe"),
            neck=size.neck,
            bbox_head=SSDHeadConfig(priors=anchors or size.anchors),
        ),
        class_names=recipe.get("class_names", classes.COCO),
        data=DataConfig(
            train_transforms=recipe.get("train_transforms", distorted(fit)),
            test_transforms=(fit,),
            images_per_device=recipe.get("images_per_device", 8),
            workers=recipe.get("workers", 3),
            repeats=recipe.get("repeats", 5),
            min_object_size=recipe.get("min_object_size", 0.0),
            metric=recipe.get("metric"),
        ),
        optimizer=recipe.get("optimizer", SGDConfig(lr=2e-3, weight_decay=5e-4)),
        schedule=recipe.get("schedule", epochs(24)),
        reference_batch=recipe.get("reference_batch", 64),
        precision=recipe.get("precision", "fp32"),
        max_gradient_norm=recipe.get("max_gradient_norm"),
    )


def ssdlite() -> Experiment:
    """SSDLite on MobileNetV2, from scratch."""
    fit = Resize(sizes=((320, 320),), keep_ratio=False)
    return Experiment(
        model=SingleStageConfig(
            backbone=MobileNetV2Config(
                out_stages=(4, 7), norm=LITE_NORM, initialization="truncated_normal"
            ),
            neck=SSDNeckConfig(
                channels=(512, 256, 256, 128),
                strides=(2, 2, 2, 2),
                paddings=(1, 1, 1, 1),
                l2_norm_scale=None,
                separable_norm=LITE_NORM,
            ),
            bbox_head=SSDHeadConfig(priors=ANCHORS_LITE, separable_norm=LITE_NORM),
        ),
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=(*distorted(fit), Pad(divisor=320)),
            test_transforms=(fit, Pad(divisor=320)),
            images_per_device=24,
            workers=4,
            repeats=5,
        ),
        optimizer=SGDConfig(lr=0.015, weight_decay=4e-5),
        schedule=Schedule(length=120, policy=Cosine(), warmup=Warmup()),
        reference_batch=192,
        evaluate_every=5,
        checkpoint_every=5,
    )


def distorted(fit: Resize) -> tuple[Transform, ...]:
    """SSD's augmentation: expansion, cropping, resizing, flips, photometric distortion."""
    return Expand(fill=MEAN_BGR), MinIoUCrop(), fit, Flip(), PhotometricDistortion()


ENTRIES = (
    Entry(
        "ssd300_coco",
        ssd(),
        box_ap=25.5,
        memory_gb=9.9,
        inference_ms=22.88,
        weights="ssd300_coco_20210803_015428-d231a06e.pth",
    ),
    Entry(
        "ssd300_fp16_coco",
        ssd(precision="fp16", schedule=epochs(24, warmup=WARMUP_FP16)),
    ),
    Entry(
        "ssd512_coco",
        ssd(SSD512),
        box_ap=29.5,
        memory_gb=19.4,
        inference_ms=32.57,
        weights="ssd512_coco_20210803_022849-0a47a1ca.pth",
    ),
    Entry(
        "ssd512_fp16_coco",
        ssd(SSD512, precision="fp16", schedule=epochs(24, warmup=WARMUP_FP16)),
    ),
    Entry(
        "ssdlite_mobilenetv2_scratch_600e_coco",
        ssdlite(),
        box_ap=21.3,
        memory_gb=4.0,
        inference_ms=14.3,
        weights="ssdlite_mobilenetv2_scratch_600e_coco_20210629_110627-974d9307.pth",
    ),
)

FAMILY = Family(
    folder="ssd",
    title="SSD",
    paper="https://arxiv.org/abs/1512.02325",
    entries=ENTRIES,
)
