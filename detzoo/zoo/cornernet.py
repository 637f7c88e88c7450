"""CornerNet."""

from __future__ import annotations

from detzoo.backbones.hourglass import HourglassConfig
from detzoo.data.transforms import (
    CenterPad,
    Flip,
    PhotometricDistortion,
    RandomCenterCropPad,
    Resize,
)
from detzoo.data.tta import TTA
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.heatmap.corner import CornerHeadConfig
from detzoo.heads.heatmap.corner_base import CornerPairHeadConfig
from detzoo.optim.optimizers import AdamConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.ssd import MEAN_BGR


def hourglass(
    head: CornerPairHeadConfig, *, images_per_device: int, devices: int, milestone: int = 180
) -> Experiment:
    """A corner-based detector on Hourglass-104, trained from scratch and tested with flipping."""
    return Experiment(
        model=SingleStageConfig(backbone=HourglassConfig(), bbox_head=head),
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=(
                PhotometricDistortion(),
                RandomCenterCropPad(size=(511, 511), fill=MEAN_BGR),
                Resize(sizes=((511, 511),), keep_ratio=False),
                Flip(),
            ),
            test_transforms=(CenterPad(bits=127, fill=MEAN_BGR),),
            tta=TTA(flips=("horizontal",)),
            images_per_device=images_per_device,
            workers=3,
        ),
        optimizer=AdamConfig(lr=5e-4),
        schedule=epochs(210, milestones=(milestone,), warmup=Warmup(ratio=1 / 3)),
        reference_batch=devices * images_per_device,
        max_gradient_norm=35.0,
    )


def cornernet(devices: int, images_per_device: int) -> Experiment:
    """CornerNet as trained on this number of devices."""
    return hourglass(CornerHeadConfig(), images_per_device=images_per_device, devices=devices)


ENTRIES = (
    Entry(
        "cornernet_hourglass104_mstest_10x5_210e_coco",
        cornernet(10, 5),
        box_ap=41.2,
        memory_gb=13.9,
        inference_ms=238.1,
        weights="cornernet_hourglass104_mstest_10x5_210e_coco_20200824_185720-5fefbf1c.pth",
    ),
    Entry(
        "cornernet_hourglass104_mstest_32x3_210e_coco",
        cornernet(32, 3),
        box_ap=40.4,
        memory_gb=9.5,
        inference_ms=256.41,
        weights="cornernet_hourglass104_mstest_32x3_210e_coco_20200819_203110-1efaea91.pth",
    ),
    Entry(
        "cornernet_hourglass104_mstest_8x6_210e_coco",
        cornernet(8, 6),
        box_ap=41.2,
        memory_gb=15.9,
        inference_ms=238.1,
        weights="cornernet_hourglass104_mstest_8x6_210e_coco_20200825_150618-79b44c30.pth",
    ),
)

FAMILY = Family(
    folder="cornernet",
    title="CornerNet",
    paper="https://arxiv.org/abs/1808.01244",
    entries=ENTRIES,
)
