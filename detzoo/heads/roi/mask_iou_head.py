"""The mask IoU head of Mask Scoring R-CNN (https://arxiv.org/abs/1903.00241)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionHead
from detzoo.heads.roi.regions import SampledRegions
from detzoo.ops.constants import constant
from detzoo.ops.distributed import average_over_processes, num_processes
from detzoo.structures import Losses, Targets


@config
class MaskIoUHeadConfig:
    """Convolutions, the last with stride 2, and fully connected layers, on RoI features and mask.

    Args:
        num_convs: Number of 3x3 convolutions.
        channels: Output channels of each convolution.
        num_fcs: Number of fully connected layers before the last.
        fc_channels: Output channels of each of them.
        loss_weight: Factor of the loss.
        logit_threshold: Logit at or above which a pixel belongs to the predicted mask in training.
    """

    num_convs: PositiveInt = 4
    channels: Channels = 256
    num_fcs: NonNegativeInt = 2
    fc_channels: Channels = 1024
    loss_weight: NonNegativeFloat = 0.5
    logit_threshold: float = 0.5

    def build(self, in_channels: int, region_size: int, num_classes: int) -> MaskIoUHead:
        """Builds the module for regions of (in_channels, region_size, region_size)."""
        return MaskIoUHead(self, in_channels, region_size, num_classes)


class MaskIoUHead(RegionHead):
    """Children ``convs``, ``fcs``, ``fc_mask_iou``."""

    def __init__(
        self, config: MaskIoUHeadConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.convs = nn.ModuleList()
        width = in_channels + 1  # and the mask
        for number in range(config.num_convs):
            stride = 2 if number == config.num_convs - 1 else 1
            conv = nn.Conv2d(width, config.channels, 3, stride=stride, padding=1)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            self.convs.append(conv)
            width = config.channels
        width *= (region_size // 2) ** 2
        self.fcs = nn.ModuleList()
        for _ in range(config.num_fcs):
            layer = nn.Linear(width, config.fc_channels)
            nn.init.kaiming_uniform_(layer.weight, a=1)
            self.fcs.append(layer)
            width = config.fc_channels
        self.fc_mask_iou = nn.Linear(width, num_classes)
        nn.init.normal_(self.fc_mask_iou.weight, std=0.01)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, mask_logits: Tensor) -> Tensor:
        """Regions (R, C, h, w) and their masks (R, 2h, 2w) -> IoU per class, (R, num_classes)."""
        mask = F.max_pool2d(mask_logits.sigmoid()[:, None], 2)
        x = torch.cat([x, mask.to(x.dtype)], 1)
        for conv in self.convs:
            x = F.relu(conv(x), inplace=True)
        x = x.flatten(1)
        for layer in self.fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_mask_iou(x)

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"fc_mask_iou.weight": ClassRows(), "fc_mask_iou.bias": ClassRows()}

    def loss(
        self,
        ious: Tensor,
        mask_logits: Tensor,
        mask_targets: Tensor,
        sampled: Sequence[SampledRegions],
        targets: Sequence[Targets],
    ) -> Losses:
        """Squared error of positive regions' ``ious`` (R,), for masks (R, m, m) that overlap.

        ``mask_logits`` and ``mask_targets`` are the predicted and target masks of the regions.
        """
        with torch.no_grad():
            predicted = mask_logits > self.config.logit_threshold
            wanted = mask_iou(predicted, mask_targets, visible_parts(sampled, targets))
            weights = (wanted > 0).float()
            count = average_over_processes(weights.sum()).clamp(min=1 / num_processes())
        error = (ious.float() - wanted).square()
        return Losses(loss_mask_iou=self.config.loss_weight * (error * weights).sum() / count)


def mask_iou(predicted: Tensor, targets: Tensor, visible: Tensor) -> Tensor:
    """IoU of masks inside regions (R, m, m) with whole objects, (R,); 0 where nothing overlaps.

    ``targets`` (R, m, m) are the objects' masks inside the regions, which contain the fraction
    ``visible`` (R,) of the objects.
    """
    predicted, targets = predicted.float(), targets.float()
    common = (predicted * targets).sum((1, 2))
    whole = targets.sum((1, 2)) / (visible + 1e-7)
    union = predicted.sum((1, 2)) + whole - common
    return torch.where(common > 0, common / union.clamp(min=1e-7), 0.0)


def visible_parts(sampled: Sequence[SampledRegions], targets: Sequence[Targets]) -> Tensor:
    """The fraction of each positive region's target that is inside the region, (R,)."""
    parts = []
    for regions, target in zip(sampled, targets):
        assert target.masks is not None, "a mask head trains on targets with masks"
        boxes = regions.boxes[regions.is_positive]
        index = regions.target_index[regions.is_positive]
        bitmaps = target.masks.to_bitmaps().bitmaps.to(boxes.device)
        parts.append(_part_inside(bitmaps, boxes, index))
    return torch.cat(parts)


def _part_inside(bitmaps: Tensor, boxes: Tensor, index: Tensor) -> Tensor:
    """The fraction of bitmap ``index[r]`` of (N, H, W) in whole pixels of ``boxes[r]`` (R, 4)."""
    height, width = bitmaps.shape[1:]
    # Summed-area table: the sum over a box takes four lookups.
    table = F.pad(bitmaps.long().cumsum(1).cumsum(2), (1, 0, 1, 0))
    limit = constant((width, height), boxes.device, torch.int64)
    low = torch.minimum(boxes[:, :2].long().clamp(min=0), limit)
    high = torch.minimum(torch.maximum(boxes[:, 2:].long(), low + 1), limit)
    (x1, y1), (x2, y2) = low.unbind(1), high.unbind(1)
    inside = table[index, y2, x2] - table[index, y1, x2] - table[index, y2, x1]
    inside = inside + table[index, y1, x1]
    return inside / (table[index, -1, -1] + 1e-7)
