"""Detectors on Open Images.

What was published is the AP of the Open Images Challenge at an IoU of 0.5, which data in its format
are evaluated by.
"""

from __future__ import annotations

import dataclasses

from detzoo.data.sample import Transform
from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.zoo.classes import OPEN_IMAGES_CHALLENGE, OPEN_IMAGES_V6
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.parts import Recipe
from detzoo.zoo.pascal_voc import SSD_ANCHORS_300
from detzoo.zoo.retinanet import retinanet
from detzoo.zoo.ssd import distorted, ssd

SIZES = ((1024, 800),)
# 64 images per step.
RECIPE: Recipe = {
    "class_names": OPEN_IMAGES_V6,
    "sizes": SIZES,
    "workers": 0,
    "optimizer": SGDConfig(lr=0.08),
    "schedule": epochs(12, warmup=Warmup(iterations=26_000, ratio=1 / 64)),
    "reference_batch": 64,
    "max_gradient_norm": 35.0,
}
CHALLENGE: Recipe = {**RECIPE, "class_names": OPEN_IMAGES_CHALLENGE}


def on_open_images(made: Experiment, *, balance_classes: bool = False) -> Experiment:
    """The same, tested on images of up to 1024x800; groups of objects are learned, too."""
    transforms: tuple[Transform, ...] = (Resize(sizes=SIZES), Pad(divisor=32))
    data = dataclasses.replace(
        made.data,
        test_transforms=transforms,
        balance_classes=balance_classes,
        learn_crowds=True,
    )
    return dataclasses.replace(made, data=data)


def faster(recipe: Recipe, *, min_score: float = 0.05, balance_classes: bool = False) -> Experiment:
    """Faster R-CNN."""
    base = faster_rcnn(**recipe)
    assert isinstance(base.model, TwoStageConfig)
    assert isinstance(base.model.roi_head, StandardRoIHeadConfig)
    select = Select(min_score=min_score, suppression=NMS(max_iou=0.5))
    roi_head = dataclasses.replace(base.model.roi_head, select=select)
    model = dataclasses.replace(base.model, roi_head=roi_head)
    made = dataclasses.replace(base, model=model)
    return on_open_images(made, balance_classes=balance_classes)


def small_ssd() -> Experiment:
    """SSD whose colors are distorted first."""
    *spatial, distortion = distorted(Resize(sizes=((300, 300),), keep_ratio=False))
    made = ssd(
        anchors=SSD_ANCHORS_300,
        class_names=OPEN_IMAGES_V6,
        train_transforms=(distortion, *spatial),
        workers=0,
        repeats=3,
        optimizer=SGDConfig(lr=0.04, weight_decay=5e-4),
        schedule=epochs(12, warmup=Warmup(iterations=20_000, ratio=0.001)),
        reference_batch=256,
    )
    return dataclasses.replace(made, data=dataclasses.replace(made.data, learn_crowds=True))


ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_32x2_1x_openimages",
        faster(RECIPE),
        box_ap50=51.6,
        memory_gb=7.7,
        weights="faster_rcnn_r50_fpn_32x2_1x_openimages_20211130_231159-e87ab7ce.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_32x2_1x_openimages_challenge",
        faster(CHALLENGE, min_score=0.01),
        box_ap50=54.9,
        memory_gb=7.7,
        weights="faster_rcnn_r50_fpn_32x2_1x_openimages_challenge_20220114_045100-0e79e5df.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_32x2_cas_1x_openimages",
        faster(RECIPE, balance_classes=True),
        box_ap50=60.0,
        memory_gb=7.7,
        weights="faster_rcnn_r50_fpn_32x2_cas_1x_openimages_20220306_202424-98c630e5.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_32x2_cas_1x_openimages_challenge",
        faster(CHALLENGE, min_score=0.01, balance_classes=True),
        box_ap50=65.0,
        memory_gb=7.1,
        weights="faster_rcnn_r50_fpn_32x2_cas_1x_openimages_challenge_20220221_192021-34c402d9.pth",
    ),
    Entry(
        "retinanet_r50_fpn_32x2_1x_openimages",
        on_open_images(retinanet(**RECIPE)),
        box_ap50=61.5,
        memory_gb=6.6,
        weights="retinanet_r50_fpn_32x2_1x_openimages_20211223_071954-d2ae5462.pth",
    ),
    Entry(
        "ssd300_32x8_36e_openimages",
        small_ssd(),
        box_ap50=35.4,
        memory_gb=10.8,
        weights="ssd300_32x8_36e_openimages_20211224_000232-dce93846.pth",
    ),
)

FAMILY = Family(
    folder="openimages",
    title="Open Images",
    paper="https://arxiv.org/abs/1811.00982",
    entries=ENTRIES,
)
