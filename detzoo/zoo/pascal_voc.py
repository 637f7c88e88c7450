"""Detectors on Pascal VOC 2007 and 2012."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import Pad, Resize
from detzoo.experiment import Experiment
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs, iterations
from detzoo.priors.ssd import SSDAnchors
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn, faster_rcnn_c4
from detzoo.zoo.parts import Recipe
from detzoo.zoo.retinanet import retinanet
from detzoo.zoo.ssd import SSD300, SSD512, Size, ssd

SIZE = ((1000, 600),)
ELEVEN_SIZES = tuple((1333, short) for short in range(480, 801, 32))
# Four epochs of three passes over the data each.
RECIPE: Recipe = {
    "class_names": classes.VOC,
    "sizes": SIZE,
    "repeats": 3,
    "optimizer": SGDConfig(lr=0.01),
    "schedule": epochs(4, milestones=(3,), warmup=None),
}


def at_voc_size(experiment: Experiment) -> Experiment:
    """The experiment, also tested at 1000x600."""
    transforms = (Resize(sizes=SIZE), Pad(divisor=32))
    data = dataclasses.replace(experiment.data, test_transforms=transforms)
    return dataclasses.replace(experiment, data=data)


def by_voc_metric(experiment: Experiment) -> Experiment:
    """The experiment, evaluated with the Pascal VOC 2007 metric."""
    data = dataclasses.replace(experiment.data, metric="voc07")
    return dataclasses.replace(experiment, data=data)


def faster_rcnn_c4_on_voc() -> Experiment:
    """Faster R-CNN C4 on Caffe's ResNet-50, with Detectron's recipe in iterations."""
    return faster_rcnn_c4(
        class_names=classes.VOC,
        sizes=ELEVEN_SIZES,
        schedule=iterations(18_000, milestones=(12_000, 16_000), warmup=Warmup(iterations=100)),
        evaluate_every=3_000,
        checkpoint_every=3_000,
    )


SSD_ANCHORS_300 = SSDAnchors(
    sizes=(30, 60, 111, 162, 213, 264, 315),
    ratios=SSD300.anchors.ratios,
    strides=SSD300.anchors.strides,
)
SSD_ANCHORS_512 = SSDAnchors(
    sizes=(35, 76, 153, 230, 307, 384, 460, 537),
    ratios=SSD512.anchors.ratios,
    strides=SSD512.anchors.strides,
)


def ssd_on_voc(size: Size, anchors: SSDAnchors) -> Experiment:
    """SSD with ten passes over the data per epoch."""
    return ssd(
        size,
        anchors,
        class_names=classes.VOC,
        repeats=10,
        metric="voc07",
        optimizer=SGDConfig(lr=1e-3, weight_decay=5e-4),
        schedule=epochs(24, milestones=(16, 20)),
    )


ENTRIES = (
    Entry(
        "faster_rcnn_r50_caffe_c4_mstrain_18k_voc0712",
        by_voc_metric(faster_rcnn_c4_on_voc()),
    ),
    Entry(
        "faster_rcnn_r50_fpn_1x_voc0712",
        by_voc_metric(at_voc_size(faster_rcnn(**RECIPE))),
        box_ap50=79.5,
        memory_gb=2.6,
        weights="faster_rcnn_r50_fpn_1x_voc0712_20200624-c9895d40.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_1x_voc0712_cocofmt",
        at_voc_size(faster_rcnn(**RECIPE)),
    ),
    Entry(
        "retinanet_r50_fpn_1x_voc0712",
        by_voc_metric(at_voc_size(retinanet(**RECIPE))),
        box_ap50=79.2,
        memory_gb=2.1,
        weights="retinanet_r50_fpn_1x_voc0712_20220320_222034-b30e6097.pth",
    ),
    Entry(
        "ssd300_voc0712",
        ssd_on_voc(SSD300, SSD_ANCHORS_300),
        box_ap50=76.5,
        weights="ssd300_voc0712_20220320_194658-17edda1b.pth",
    ),
    Entry(
        "ssd512_voc0712",
        ssd_on_voc(SSD512, SSD_ANCHORS_512),
        box_ap50=79.5,
        weights="ssd512_voc0712_20220320_194717-03cefefe.pth",
    ),
)

FAMILY = Family(
    folder="pascal_voc",
    title="Pascal VOC",
    paper="http://host.robots.ox.ac.uk/pascal/VOC/",
    entries=ENTRIES,
)
