"""YOLACT's masks (https://arxiv.org/abs/1904.02689): shared prototypes, which are linearly combined
with each object's coefficients; and its auxiliary semantic maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, PositiveInt, UnitFloat, config
from detzoo.heads.class_rows import ClassRows
from detzoo.ops.constants import constant
from detzoo.structures import ImageInfo, ImageMasks, Losses, Targets
from detzoo.structures.image_masks import resize_maps

# Margin, in cells, around a box that its mask may cover.
MARGIN = 1


@config
class PrototypeMasksConfig:
    """Masks as linear combinations of prototypes, which are computed from the finest level at twice
    its size.

    Args:
        num_convs: Number of 3x3 convolutions before the upsampling; one more follows.
        channels: Channels of the convolutions.
        num_prototypes: Number of prototypes.
        loss_weight: Weight of the mask loss.
        max_masks: Maximum number of masks per image that are trained on, sampled at random.
        threshold: Probability above which a pixel belongs to the object.
    """

    num_convs: PositiveInt = 3
    channels: Channels = 256
    num_prototypes: PositiveInt = 32
    loss_weight: NonNegativeFloat = 6.125
    max_masks: PositiveInt = 100
    threshold: UnitFloat = 0.5

    def build(self, in_channels: int) -> PrototypeMasks:
        return PrototypeMasks(self, in_channels)


class PrototypeMasks(nn.Module):
    """Child ``protonet``."""

    def __init__(self, config: PrototypeMasksConfig, in_channels: int) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        for number in range(config.num_convs + 1):
            if number == config.num_convs:
                layers += [nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU(inplace=True)]
            layers += [nn.Conv2d(in_channels, config.channels, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = config.channels
        layers += [nn.Conv2d(in_channels, config.num_prototypes, 1), nn.ReLU(inplace=True)]
        self.protonet = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The finest level (B, C, h, w) -> prototypes (B, M, 2h, 2w)."""
        return self.protonet(x)

    def loss(
        self,
        prototypes: Tensor,
        coefficients: Tensor,
        target_index: Tensor,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the mask loss of positive priors, each within the box of its object.

        ``coefficients`` (B, P, M); ``target_index`` (B, P) is negative for priors without an
        object.
        """
        total, count = 0.0 * (prototypes.float().sum() + coefficients.float().sum()), 0
        for image, (target, info) in enumerate(zip(targets, infos)):
            assert target.masks is not None, "a mask head trains on targets with masks"
            learned = target.index_of_masks(target_index[image])
            prior = (learned >= 0).nonzero()[:, 0]
            if len(prior) > self.config.max_masks:
                drawn = torch.randperm(len(prior), device=prior.device)
                prior = prior[drawn[: self.config.max_masks]]
            if len(prior) == 0:
                continue
            count += len(prior)
            own = learned[prior]
            boxes = target.boxes[own] / _size(info.size, prototypes)
            wanted = resized_masks(target, prototypes.shape[2:])[own]
            logits = self._logits(prototypes[image], coefficients[image, prior])
            pixels = F.softplus(logits) - wanted * logits
            # Outside of its box nothing is predicted, and PyTorch's cross entropy is clamped to
            # 100.
            pixels = torch.where(_inside(boxes, logits.shape[1:]), pixels, 100 * wanted)
            sides = boxes[:, 2:] - boxes[:, :2]
            total = total + (pixels.mean((1, 2)) / sides.prod(1)).sum()
        return Losses(loss_mask=self.config.loss_weight * total / max(count, 1))

    def masks(
        self, prototypes: Tensor, coefficients: Tensor, boxes: Tensor, size: tuple[int, int]
    ) -> ImageMasks:
        """Assembles the masks of objects from one image's prototypes (M, h, w), the objects'
        coefficients (N, M) and boxes (N, 4), over an input of ``size``.
        """
        probabilities = self._logits(prototypes, coefficients).sigmoid()
        inside = _inside(boxes / _size(size, prototypes), prototypes.shape[1:])
        return ImageMasks(probabilities * inside, size, self.config.threshold)

    def _logits(self, prototypes: Tensor, coefficients: Tensor) -> Tensor:
        """(M, h, w), (N, M) -> (N, h, w)."""
        flat = coefficients.float() @ prototypes.float().flatten(1)
        return flat.unflatten(1, prototypes.shape[1:])


@config
class SemanticMapsConfig:
    """Semantic maps with one channel per class, an auxiliary task in training only.

    Args:
        loss_weight: Weight of the loss.
    """

    loss_weight: NonNegativeFloat = 1.0

    def build(self, in_channels: int, num_classes: int) -> SemanticMaps:
        return SemanticMaps(self, in_channels, num_classes)


class SemanticMaps(nn.Module):
    """Child ``segm_conv``."""

    def __init__(self, config: SemanticMapsConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.segm_conv = nn.Conv2d(in_channels, num_classes, 1)
        nn.init.xavier_uniform_(self.segm_conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The finest level (B, C, h, w) -> logits (B, num_classes, h, w)."""
        return self.segm_conv(x)

    def loss(self, logits: Tensor, targets: Sequence[Targets]) -> Losses:
        """Computes the loss; each pixel belongs to the classes of the objects that cover it, in
        images with objects.

        In training of the published models, each class was learned in the map of the previous one,
        and the first in the last map; the maps have no other use.
        """
        logits = logits.float()
        wanted, counts = torch.zeros_like(logits), logits.new_zeros(logits.shape[:2])
        for image, target in enumerate(targets):
            if len(target) == 0:
                continue
            shifted = (target.labels - 1) % logits.shape[1]
            masks = resized_masks(target, logits.shape[2:])
            index = shifted[:, None, None].expand_as(masks)
            wanted[image].scatter_reduce_(0, index, masks, "amax")
            counts[image] = 1.0
            everyone = torch.arange(len(target), device=shifted.device)
            # If an object's mask is missing, the map of its class is unknown.
            unknown = target.index_of_masks(everyone) < 0
            counts[image].scatter_reduce_(0, shifted, (~unknown).to(counts), "amin")
        pixels = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        total = (pixels * counts[..., None, None]).sum()
        return Losses(
            loss_segm=self.config.loss_weight * total / (len(logits) * logits[0, 0].numel())
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"segm_conv.weight": ClassRows(), "segm_conv.bias": ClassRows()}


def resized_masks(targets: Targets, size: Sequence[int]) -> Tensor:
    """Resizes the masks of an image's objects to ``size`` (h, w): (N, h, w) of 0 and 1."""
    assert targets.masks is not None
    bitmaps = targets.masks.to_bitmaps().bitmaps.to(targets.boxes)
    height, width = size
    return (resize_maps(bitmaps, (height, width)) > 0.5).float()


def _size(size: tuple[int, int], like: Tensor) -> Tensor:
    height, width = size
    return constant((width, height, width, height), like.device, torch.get_default_dtype())


def _inside(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Which cells of a map of ``size`` (h, w) are in boxes (N, 4), in fractions of it, or next to
    them: (N, h, w)."""
    height, width = size
    x, y = (torch.arange(cells, device=boxes.device) for cells in (width, height))
    x1, y1, x2, y2 = (boxes * _size((height, width), boxes)).T[:, :, None]
    columns = (x >= x1 - MARGIN) & (x < x2 + MARGIN)
    rows = (y >= y1 - MARGIN) & (y < y2 + MARGIN)
    return rows[:, :, None] & columns[:, None]
