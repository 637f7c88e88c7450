"""Detectors of each kind, narrow enough to run in a moment."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import torch

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.base import DetectorConfig
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import BoundedIoULoss, CIoULoss, GIoULoss
from detzoo.necks.fpn import FPNConfig
from detzoo.samplers.ohem import OHEMSampler
from detzoo.structures import BitmapMasks, ImageBatch, ImageInfo, Targets
from detzoo.zoo.faster_rcnn import faster_rcnn_c4, faster_rcnn_dc5
from detzoo.zoo.mask_rcnn import mask_rcnn_c4

T = TypeVar("T")
CLASSES = 3
SIZE = (96, 128)

BACKBONE = ResNetConfig(depth=18, base_channels=8)
NECK = FPNConfig(out_channels=16)
RETINA_NECK = FPNConfig(out_channels=16, start_level=1, extra_levels="on_input")


def narrow(value: T) -> T:
    """The same configuration with few channels, proposals and regions."""
    if isinstance(value, tuple):
        return tuple(narrow(item) for item in value)  # type: ignore[return-value]
    if not dataclasses.is_dataclass(value):
        return value
    small = {"base_channels": 8, "out_channels": 16, "fc_channels": 16, "channels": 16}
    small |= {"num": 64, "pre_nms": 200, "max_detections": 100}
    fields = {f.name: narrow(getattr(value, f.name)) for f in dataclasses.fields(value)}
    fields |= {name: number for name, number in small.items() if fields.get(name) is not None}
    return type(value)(**fields)


def retinanet(**head: object) -> SingleStageConfig:
    bbox_head = RetinaHeadConfig(num_convs=1, channels=16)
    bbox_head = dataclasses.replace(bbox_head, **head)  # type: ignore[arg-type]
    return SingleStageConfig(backbone=BACKBONE, neck=RETINA_NECK, bbox_head=bbox_head)


def rpn(**head: object) -> ProposalOnlyConfig:
    rpn_head = dataclasses.replace(narrow(RPNHeadConfig()), **head)  # type: ignore[arg-type]
    return ProposalOnlyConfig(backbone=BACKBONE, neck=NECK, rpn_head=rpn_head)


def faster_rcnn(box_head: BoxHeadConfig | None = None, **roi_head: object) -> TwoStageConfig:
    head = narrow(StandardRoIHeadConfig())
    head = dataclasses.replace(head, box_head=box_head or BoxHeadConfig(fc_channels=16))
    return TwoStageConfig(
        backbone=BACKBONE,
        neck=NECK,
        rpn_head=narrow(RPNHeadConfig()),
        roi_head=dataclasses.replace(head, **roi_head),  # type: ignore[arg-type]
    )


def mask_rcnn(box_head: BoxHeadConfig | None = None) -> TwoStageConfig:
    return faster_rcnn(
        box_head,
        mask_extractor=PyramidRoIAlignConfig(output_size=14),
        mask_head=MaskHeadConfig(channels=16),
    )


# One of every kind of training step.
MODELS: dict[str, DetectorConfig] = {
    "retinanet": retinanet(),
    "retinanet-giou": retinanet(box_loss=GIoULoss()),
    "rpn": rpn(),
    "rpn-border": rpn(border=0.0),
    "faster_rcnn": faster_rcnn(),
    "faster_rcnn-bounded": faster_rcnn(BoxHeadConfig(fc_channels=16, box_loss=BoundedIoULoss())),
    "faster_rcnn-ciou": faster_rcnn(BoxHeadConfig(fc_channels=16, box_loss=CIoULoss())),
    "faster_rcnn-ohem": faster_rcnn(
        sampler=OHEMSampler(num=64, positive_fraction=0.25, adds_targets=True)
    ),
    "mask_rcnn": mask_rcnn(),
    "faster_rcnn-c4": narrow(faster_rcnn_c4().model),
    "faster_rcnn-dc5": narrow(faster_rcnn_dc5().model),
    "mask_rcnn-c4": narrow(mask_rcnn_c4().model),
}


def images(count: int = 2) -> ImageBatch:
    """Noise; every second image is smaller than the batch."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn((count, 3, *SIZE), generator=generator)
    height, width = SIZE
    sizes = [SIZE if i % 2 == 0 else (height - 21, width - 37) for i in range(count)]
    return ImageBatch(pixels, tuple(ImageInfo.of(size).padded_to(32) for size in sizes))


def targets(*boxes: tuple[float, float, float, float]) -> Targets:
    """Objects of class 0, 1, 2, 0, ... whose masks fill their boxes, as far as within the image."""
    masks = torch.zeros((len(boxes), *SIZE), dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[max(int(y1), 0) : max(int(y2), 0), max(int(x1), 0) : max(int(x2), 0)] = 1
    return Targets.of(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.arange(len(boxes)) % CLASSES,
        BitmapMasks(masks),
    )
