"""Backbones of timm in V2's configurations."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.pretrained import TORCHVISION
from detzoo.backbones.timm import TimmConfig
from detzoo.experiment import Experiment
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.retinanet import retinanet


def timm(model: str) -> TimmConfig:
    """The maps of strides 4 to 32, from the weights of timm."""
    return TimmConfig(
        model=model,
        out_stages=(1, 2, 3, 4),
        fixed_statistics=False,
        pretrained="timm://{architecture}",
    )


def retinanet_efficientnet() -> Experiment:
    """V2 normalizes pixels as for torchvision's weights, and not as timm does for these."""
    base = retinanet(timm("efficientnet_b1"))
    return dataclasses.replace(base, model=dataclasses.replace(base.model, pixels=TORCHVISION))


ENTRIES = (
    Entry("retinanet_timm_efficientnet_b1_fpn_1x_coco", retinanet_efficientnet()),
    Entry("retinanet_timm_tv_resnet50_fpn_1x_coco", retinanet(timm("resnet50.tv_in1k"))),
)

FAMILY = Family(
    folder="timm_example",
    title="RetinaNet with timm",
    paper="https://github.com/huggingface/pytorch-image-models",
    entries=ENTRIES,
)
