"""What every toolbox is given: weights, images, objects."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import nn

from detzoo import zoo
from detzoo.config import override
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.structures import Batch, BitmapMasks, ImageInfo, Targets
from detzoo.zoo.parts import FROZEN

NUM_CLASSES = 80
OBJECTS = 10
# Detections in one image, about: what a trained detector finds in COCO's.
WANTED = 100


@dataclass(frozen=True)
class Subject:
    """An entry of the zoo; ``scores`` are the layers that tell classes, ``bias`` what they add,
    ``background`` what the last class, no object, gets instead where there is one.

    ``size`` is the height and width of its input; ``frozen`` is whether the batch norms of the
    backbone are, as all toolboxes can have them.
    """

    entry: str
    scores: tuple[str, ...] = ()
    bias: float = -4.6
    background: float | None = None
    size: tuple[int, int] = (800, 1216)
    frozen: bool = True


SUBJECTS = {
    "faster_rcnn": Subject("faster_rcnn_r50_fpn_1x_coco", ("roi_head.bbox_head.fc_cls",), 0.0, 4.0),
    "mask_rcnn": Subject("mask_rcnn_r50_fpn_1x_coco", ("roi_head.bbox_head.fc_cls",), 0.0, 4.0),
    "retinanet": Subject("retinanet_r50_fpn_1x_coco", ("bbox_head.retina_cls",)),
    # The form that torchvision has.
    "fcos": Subject(
        "fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco",
        ("bbox_head.conv_cls",),
    ),
    "yolox_s": Subject(
        "yolox_s_8x8_300e_coco",
        tuple(f"bbox_head.multi_level_conv_cls.{level}" for level in range(3)),
        size=(640, 640),
        frozen=False,
    ),
    "detr": Subject("detr_r50_8x2_150e_coco"),
}


@dataclass(frozen=True)
class Task:
    """``config`` and ``weights`` of our model; raw images (B, H, W, 3) and their objects.

    ``bitmaps`` are the objects' masks, (N, H, W) uint8 per image. Training takes all images,
    inference the first ``num_seen``.
    """

    model: str
    config: DetectorConfig
    weights: dict[str, torch.Tensor]
    batch: Batch
    targets: tuple[Targets, ...]
    bitmaps: tuple[torch.Tensor, ...]
    device: torch.device
    num_seen: int = 1

    @property
    def subject(self) -> Subject:
        return SUBJECTS[self.model]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.batch.pixels.shape[1:3]
        return height, width

    @property
    def seen(self) -> Batch:
        """The images that inference takes."""
        return Batch(self.batch.pixels[: self.num_seen], self.batch.infos[: self.num_seen])

    @classmethod
    def make(
        cls,
        model: str,
        images: int,
        device: torch.device,
        num_seen: int = 1,
        size: tuple[int, int] | None = None,
    ) -> Task:
        """Random weights of which the first image has about 100 detections; ``size`` None: the
        subject's."""
        subject = SUBJECTS[model]
        batch, bitmaps = _make_batch(images, *(size or subject.size))
        config = zoo.find(subject.entry).experiment.model
        if subject.frozen:
            config = override(config, "backbone.norm", FROZEN, {})
            config = override(config, "backbone.style", "pytorch", {})
        detector = config.build(NUM_CLASSES).to(device).eval()
        randomize(detector)
        _calibrate(detector, subject, Batch(batch.pixels[:1], batch.infos[:1]))
        targets = tuple(target.to(device) for target in batch.targets)
        bitmaps = tuple(masks.to(device) for masks in bitmaps)
        weights = detector.state_dict()
        return cls(model, config, weights, batch, targets, bitmaps, device, num_seen)


def randomize(model: nn.Module) -> None:
    """Weights that keep the features' scale, whatever a fresh model starts with."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if not tensor.dtype.is_floating_point:
            continue
        if name.endswith(("running_var", ".scale")):
            tensor.fill_(1.0)
        elif tensor.dim() >= 2:
            fan = tensor[0].numel()
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / math.sqrt(fan))
        elif name.endswith("weight"):
            tensor.copy_(0.5 + 0.5 * torch.rand(tensor.shape, generator=generator))
        else:
            tensor.zero_()


@torch.no_grad()
def _calibrate(model: Detector, subject: Subject, batch: Batch) -> None:
    """Scales the score layers so that the image has about 100 detections, and hardly more."""
    if not subject.scores:
        return
    for name in subject.scores:
        bias = model.get_parameter(f"{name}.bias")
        bias.fill_(subject.bias)
        if subject.background is not None:
            bias[-1] = subject.background
    weights = [model.get_parameter(f"{name}.weight") for name in subject.scores]
    given = [weight.clone() for weight in weights]
    images = model.preprocess(batch)

    def scale(factor: float) -> None:
        for weight, own in zip(weights, given):
            weight.copy_(own * factor)

    low, high = 0.1, 200.0
    for _ in range(8):
        middle = math.sqrt(low * high)
        scale(middle)
        low, high = (low, middle) if len(model(images)[0]) >= WANTED else (middle, high)
    scale(high)


def _make_batch(count: int, height: int, width: int) -> tuple[Batch, tuple[torch.Tensor, ...]]:
    """Smooth random images, and ten objects in each; their masks."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand((count, 3, height // 16, width // 16), generator=generator)
    images = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    pixels = (images * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    targets, bitmaps = [], []
    for _ in range(count):
        low = torch.rand((OBJECTS, 2), generator=generator) * torch.tensor([width, height]) * 0.6
        side = torch.rand((OBJECTS, 2), generator=generator) * 0.2 * width + 30
        boxes = torch.cat([low, low + side], 1)
        masks = torch.zeros((OBJECTS, height, width), dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist()):
            mask[y1:y2, x1:x2] = 1
        labels = torch.randint(0, NUM_CLASSES, (OBJECTS,), generator=generator)
        targets.append(Targets.of(boxes, labels, BitmapMasks(masks)))
        bitmaps.append(masks)
    infos = tuple(
        dataclasses.replace(ImageInfo.of((height, width), id=i), padded_size=(height, width))
        for i in range(count)
    )
    return Batch(pixels, infos, tuple(targets)), tuple(bitmaps)
