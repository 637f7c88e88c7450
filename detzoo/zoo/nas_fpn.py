"""NAS-FPN."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import Crop, Flip, Pad, Resize
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.dense.retina_sep_norm import RetinaSepNormHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.base import NeckConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.necks.nas_fpn import NASFPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import resnet


def retinanet_crop640(
    neck: NeckConfig, *, divisor: int = 64, size: tuple[int, int] = (640, 640)
) -> Experiment:
    """RetinaNet with trainable norms and a long schedule, trained on crops of ``size`` pixels.

    In evaluation, sides are padded to multiples of ``divisor``.
    """
    model = SingleStageConfig(
        backbone=dataclasses.replace(resnet(50), norm=BatchNormConfig()),
        neck=neck,
        bbox_head=RetinaSepNormHeadConfig(),
    )
    data = DataConfig(
        train_transforms=(
            Resize(sizes=(size,), ratio_range=(0.8, 1.2)),
            Crop(size=size),
            Flip(),
            Pad(size=size),
        ),
        test_transforms=(Resize(sizes=(size,)), Pad(divisor=divisor)),
        images_per_device=8,
        workers=4,
    )
    return Experiment(
        model=model,
        class_names=classes.COCO,
        data=data,
        optimizer=SGDConfig(lr=0.08, norm_weight_decay_scale=0.0),
        schedule=epochs(50, milestones=(30, 40), warmup=Warmup(iterations=1000, ratio=0.1)),
        reference_batch=64,
    )


FPN = FPNConfig(
    start_level=1,
    extra_levels="on_input",
    relu_between_extras=True,
    norm=BatchNormConfig(),
    norm_on_lateral=False,
)

ENTRIES = (
    Entry(
        "retinanet_r50_fpn_crop640_50e_coco",
        retinanet_crop640(FPN),
        box_ap=37.9,
        memory_gb=12.9,
        inference_ms=43.67,
        weights="retinanet_r50_fpn_crop640_50e_coco-9b953d76.pth",
    ),
    Entry(
        "retinanet_r50_nasfpn_crop640_50e_coco",
        retinanet_crop640(NASFPNConfig(), divisor=128),
        box_ap=40.5,
        memory_gb=13.2,
        inference_ms=43.48,
        weights="retinanet_r50_nasfpn_crop640_50e_coco-0ad1f644.pth",
    ),
)

FAMILY = Family(
    folder="nas_fpn",
    title="NAS-FPN",
    paper="https://arxiv.org/abs/1904.07392",
    entries=ENTRIES,
)
