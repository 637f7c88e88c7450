"""What every toolbox is given: weights, images, objects."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import nn

from detzoo import zoo
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.structures import Batch, BitmapMasks, ImageInfo, Targets
from detzoo.zoo.parts import FROZEN

NUM_CLASSES = 80
OBJECTS = 10
# Detections in one image, about: what a trained detector finds in COCO's.
WANTED = 100


@dataclass(frozen=True)
class Subject:
    """An entry of the zoo; ``scores`` are the layers that tell classes, ``bias`` what they add.

    ``size`` is the height and width of its input.
    """

    entry: str
    scores: tuple[str, ...] = ()
    bias: float = -4.6
    size: tuple[int, int] = (800, 1216)


SUBJECTS = {
    "faster_rcnn": Subject("faster_rcnn_r50_fpn_1x_coco", ("roi_head.bbox_head.fc_cls",), 0.0),
    "mask_rcnn": Subject("mask_rcnn_r50_fpn_1x_coco", ("roi_head.bbox_head.fc_cls",), 0.0),
    "retinanet": Subject("retinanet_r50_fpn_1x_coco", ("bbox_head.retina_cls",)),
    "fcos": Subject("fcos_r50_caffe_fpn_gn-head_1x_coco", ("bbox_head.conv_cls",)),
    "yolox_s": Subject(
        "yolox_s_8x8_300e_coco",
        tuple(f"bbox_head.multi_level_conv_cls.{level}" for level in range(3)),
        size=(640, 640),
    ),
    "detr": Subject("detr_r50_8x2_150e_coco"),
}


@dataclass(frozen=True)
class Task:
    """``config`` and ``weights`` of our model; raw images (B, H, W, 3) and their objects."""

    model: str
    config: DetectorConfig
    weights: dict[str, torch.Tensor]
    batch: Batch
    targets: tuple[Targets, ...]
    device: torch.device

    @property
    def subject(self) -> Subject:
        return SUBJECTS[self.model]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.batch.pixels.shape[1:3]
        return height, width

    @property
    def first(self) -> Batch:
        """The first image alone."""
        return Batch(self.batch.pixels[:1], self.batch.infos[:1])

    @classmethod
    def make(cls, model: str, images: int, device: torch.device) -> Task:
        """Random weights of which the first image has about 100 detections."""
        subject = SUBJECTS[model]
        batch, targets = _make_batch(images, *subject.size)
        config = _frozen(zoo.find(subject.entry).experiment.model)
        detector = config.build(NUM_CLASSES).to(device).eval()
        _randomise(detector)
        _calibrate(detector, subject, Batch(batch.pixels[:1], batch.infos[:1]))
        targets = tuple(target.to(device) for target in targets)
        return cls(model, config, detector.state_dict(), batch, targets, device)


def _frozen(config: DetectorConfig) -> DetectorConfig:
    """With the batch norms of a ResNet frozen, as every toolbox can have them."""
    if not hasattr(config.backbone, "frozen_stages"):
        return config
    backbone = dataclasses.replace(config.backbone, norm=FROZEN)  # type: ignore[call-arg]
    return dataclasses.replace(config, backbone=backbone)


def _randomise(model: nn.Module) -> None:
    """Weights that keep the features' scale, whatever a fresh model starts with."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(1.0)
        elif tensor.dim() >= 2:
            fan = tensor[0].numel()
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / math.sqrt(fan))
        elif name.endswith("weight"):
            tensor.copy_(0.5 + 0.5 * torch.rand(tensor.shape, generator=generator))
        elif tensor.dtype.is_floating_point:
            tensor.zero_()


@torch.no_grad()
def _calibrate(model: Detector, subject: Subject, batch: Batch) -> None:
    """Scales the score layers so that the image has about 100 detections, and hardly more."""
    layers = [model.get_submodule(name) for name in subject.scores]
    if not layers:
        return
    kernels = []
    for layer in layers:
        assert isinstance(layer, (nn.Conv2d, nn.Linear))
        layer.bias.fill_(subject.bias)
        if isinstance(layer, nn.Linear):
            layer.bias[-1] = 4.0  # the background
        kernels.append(layer.weight.clone())
    images = model.preprocess(batch)
    low, high = 0.1, 200.0
    for step in range(9):
        scale = math.sqrt(low * high) if step < 8 else high
        for layer, kernel in zip(layers, kernels):
            layer.weight.copy_(kernel * scale)  # type: ignore[operator]
        if step < 8:
            low, high = (low, scale) if len(model(images)[0]) >= WANTED else (scale, high)


def _make_batch(count: int, height: int, width: int) -> tuple[Batch, tuple[Targets, ...]]:
    """Smooth random images, and ten objects in each."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand((count, 3, height // 16, width // 16), generator=generator)
    images = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    pixels = (images * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    targets = []
    for _ in range(count):
        low = torch.rand((OBJECTS, 2), generator=generator) * torch.tensor([width, height]) * 0.6
        side = torch.rand((OBJECTS, 2), generator=generator) * 0.2 * width + 30
        boxes = torch.cat([low, low + side], 1)
        masks = torch.zeros((OBJECTS, height, width), dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist()):
            mask[y1:y2, x1:x2] = 1
        labels = torch.randint(0, NUM_CLASSES, (OBJECTS,), generator=generator)
        targets.append(Targets.of(boxes, labels, BitmapMasks(masks)))
    infos = tuple(
        dataclasses.replace(ImageInfo.of((height, width), id=i), padded_size=(height, width))
        for i in range(count)
    )
    return Batch(pixels, infos, tuple(targets)), tuple(targets)
