"""DetectoRS: recursive feature pyramid and switchable atrous convolution."""

from __future__ import annotations

import dataclasses

from typing_extensions import TypedDict

from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.switchable import AdaptiveConvConfig, SwitchableAtrousConvConfig
from detzoo.necks.rfp import RFPConfig
from detzoo.zoo.cascade_rcnn import EPOCHS_20, cascade_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.htc import htc
from detzoo.zoo.parts import Depth, resnet


def adaptive_resnet(depth: Depth = 50) -> ResNetConfig:
    """ResNet with adaptive standardized filters, which keep pretrained filters unchanged."""
    return dataclasses.replace(resnet(depth), convolution=AdaptiveConvConfig())


def switchable_resnet(depth: Depth = 50) -> ResNetConfig:
    """The same, with switchable atrous 3x3 convolutions from the second stage on."""
    return dataclasses.replace(adaptive_resnet(depth), deformable=SwitchableAtrousConvConfig())


class Recursive(TypedDict):
    """A backbone, and a recursive pyramid with a second backbone of the same kind."""

    backbone: ResNetConfig
    neck: RFPConfig


def recursive(backbone: ResNetConfig) -> Recursive:
    """See :class:`Recursive`."""
    return {
        "backbone": dataclasses.replace(backbone, returns_image=True),
        "neck": RFPConfig(backbone=backbone),
    }


ADAPTIVE, SWITCHABLE = adaptive_resnet(), switchable_resnet()

ENTRIES = (
    Entry(
        "cascade_rcnn_r50_rfp_1x_coco",
        cascade_rcnn(**recursive(ADAPTIVE)),
        box_ap=44.8,
        memory_gb=7.5,
        weights="cascade_rcnn_r50_rfp_1x_coco-8cf51bfd.pth",
    ),
    Entry(
        "cascade_rcnn_r50_sac_1x_coco",
        cascade_rcnn(SWITCHABLE),
        box_ap=45.0,
        memory_gb=5.6,
        weights="cascade_rcnn_r50_sac_1x_coco-24bfda62.pth",
    ),
    Entry(
        "detectors_cascade_rcnn_r50_1x_coco",
        cascade_rcnn(**recursive(SWITCHABLE)),
        box_ap=47.4,
        memory_gb=9.9,
        weights="detectors_cascade_rcnn_r50_1x_coco-32a10ba0.pth",
    ),
    Entry(
        "detectors_htc_r101_20e_coco",
        htc(**recursive(switchable_resnet(101)), schedule=EPOCHS_20),
    ),
    Entry(
        "detectors_htc_r50_1x_coco",
        htc(**recursive(SWITCHABLE)),
        box_ap=49.1,
        mask_ap=42.6,
        memory_gb=13.6,
        weights="detectors_htc_r50_1x_coco-329b1453.pth",
    ),
    Entry(
        "htc_r50_rfp_1x_coco",
        htc(**recursive(ADAPTIVE)),
        box_ap=46.6,
        mask_ap=40.9,
        memory_gb=11.2,
        weights="htc_r50_rfp_1x_coco-8ff87c51.pth",
    ),
    Entry(
        "htc_r50_sac_1x_coco",
        htc(SWITCHABLE),
        box_ap=46.4,
        mask_ap=40.9,
        memory_gb=9.3,
        weights="htc_r50_sac_1x_coco-bfa60c54.pth",
    ),
)

FAMILY = Family(
    folder="detectors",
    title="DetectoRS",
    paper="https://arxiv.org/abs/2006.02334",
    entries=ENTRIES,
)
