"""timm backbones in V2's configurations."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.pretrained import TORCHVISION
from detzoo.backbones.timm import TimmConfig
from detzoo.experiment import Experiment
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.retinanet import retinanet


def timm(model: str) -> TimmConfig:
    """The timm model with its weights, and maps of strides 4 to 32."""
    return TimmConfig(
        model=model,
        out_stages=(1, 2, 3, 4),
        fixed_statistics=False,
        pretrained="timm://{architecture}",
    )


def retinanet_efficientnet() -> Experiment:
    """RetinaNet on EfficientNet; as in V2, pixels are normalized as for torchvision's weights, not
    timm's.
    """
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
