"""Cascade RPN (https://arxiv.org/abs/1909.06720): refines anchors, then proposes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.base import Assigner, PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.assigners.region import RegionAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.heads.dense.base import flatten_level
from detzoo.heads.dense.rpn import ObjectnessHead, ObjectnessHeadConfig
from detzoo.heads.dense.towers import initialize_convs
from detzoo.layers.shifted_conv import ShiftedConv2d
from detzoo.losses.boxes import BoxLoss, IoULoss
from detzoo.ops.boxes import box_centers
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.structures import (
    Assignment,
    DensePredictions,
    ImageInfo,
    Losses,
    Priors,
    Targets,
)

# The loss of anchors is averaged over the number of cells divided by this.
CELLS_PER_ANCHOR = 200

SELECT = Select(min_score=0.0, pre_nms=1000, suppression=NMS(max_iou=0.8), max_detections=300)


@config
class CascadeRPNHeadConfig(ObjectnessHeadConfig):
    """Cascade RPN: a first stage turns ``priors``, one per cell, into anchors; on these,
    ``assigner``, ``coder`` and the losses of the second stage work.

    Args:
        anchor_assigner: Assigns targets to priors, for training the anchors.
        anchor_coder: Decodes an anchor from its prior.
        anchor_loss: Loss of the anchors.
        dilation: Dilation of the first stage's convolution.
    """

    priors: AnchorGrid = AnchorGrid(scales=(8.0,), ratios=(1.0,))
    anchor_assigner: PriorAssigner = RegionAssigner()
    anchor_coder: BoxCoder = DeltaCoder(stds=(0.1, 0.1, 0.5, 0.5))
    anchor_loss: BoxLoss = IoULoss(kind="linear", weight=10.0)
    dilation: PositiveInt = 3
    assigner: Assigner = MaxIoUAssigner(positive_iou=0.7, negative_iou=0.7, min_positive_iou=0.3)
    coder: BoxCoder = DeltaCoder(stds=(0.05, 0.05, 0.1, 0.1))
    box_loss: BoxLoss = IoULoss(kind="linear", weight=10.0)
    select: Select = SELECT
    train_select: Select = SELECT

    def __post_init__(self) -> None:
        if self.priors.num_per_cell != 1:
            raise ConfigError(
                f"priors: {self.priors.num_per_cell} per cell, but a cascade RPN refines one; give "
                "one scale and one ratio"
            )
        if not (self.anchor_loss.on_boxes and self.box_loss.on_boxes):
            raise ConfigError(
                "anchor_loss, box_loss: the losses of a cascade RPN compare boxes; take IoULoss or "
                "another of its kind"
            )

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int = 1
    ) -> CascadeRPNHead:
        return CascadeRPNHead(self, in_channels, strides)


@dataclass(frozen=True)
class FirstStage:
    """Of P priors, the ``deltas`` (B, P, 4) to their anchors; ``features`` for the next stage."""

    features: tuple[Tensor, ...]
    deltas: Tensor
    priors: Priors


@dataclass(frozen=True, kw_only=True)
class CascadePredictions(DensePredictions):
    """Predictions for ``anchors`` (B, P, 4), and the ``anchor_deltas`` (B, P, 4) from the priors to
    them."""

    anchors: Tensor
    anchor_deltas: Tensor


class CascadeRPNHead(ObjectnessHead[CascadePredictions]):
    """Children ``stages.0`` and ``stages.1``."""

    config: CascadeRPNHeadConfig

    def __init__(
        self, config: CascadeRPNHeadConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__(config, strides)
        channels = config.channels or in_channels[0]
        first = AnchorStage(in_channels[0], channels, config.dilation)
        self.stages = nn.ModuleList([first, ProposalStage(channels, self.num_outputs)])
        initialize_convs(self)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> features for the second stage (B, C', H, W) and deltas (B, 4, H, W)."""
        x, deltas = self.stages[0](x)
        return x, deltas

    def forward(self, features: Sequence[Tensor]) -> FirstStage:  # type: ignore[override]
        """The first stage; :meth:`predict` goes on from there."""
        levels = [self.forward_level(x, level) for level, x in enumerate(features)]
        grids = tuple((x.shape[2], x.shape[3]) for x in features)
        priors = self.config.priors.place(grids, self.strides, features[0].device)
        deltas = torch.cat([flatten_level(deltas, 4) for _, deltas in levels], 1)
        return FirstStage(tuple(x for x, _ in levels), deltas, priors)

    def predict(self, features: Sequence[Tensor], infos: Sequence[ImageInfo]) -> CascadePredictions:
        first: FirstStage = self(features)
        priors, deltas = first.priors, first.deltas.detach().float()
        anchors = torch.stack(
            [
                self.config.anchor_coder.decode(priors.boxes, own, info.size)
                for own, info in zip(deltas, infos)
            ]
        )
        levels = zip(first.features, self.strides, anchors.split(priors.level_sizes, 1))
        maps = [self.stages[1](x, kernel_offsets(own / stride, x)) for x, stride, own in levels]
        logits, codes = (
            torch.cat([flatten_level(x, channels) for x in column], 1)
            for column, channels in zip(zip(*maps), (self.num_outputs, 4))
        )
        return CascadePredictions(
            logits, codes, priors, anchors=anchors, anchor_deltas=first.deltas
        )

    def references(self, predictions: CascadePredictions) -> Tensor:
        return predictions.anchors

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        predictions: CascadePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        losses = super().loss(predictions, targets, infos)
        return Losses(
            {
                "s0.loss_rpn_reg": self._anchor_loss(predictions, targets, infos),
                "s1.loss_rpn_cls": losses["loss_rpn_cls"],
                "s1.loss_rpn_reg": losses["loss_rpn_bbox"],
            }
        )

    def assign_image(
        self, predictions: CascadePredictions, image: int, targets: Targets, info: ImageInfo
    ) -> Assignment:
        priors = predictions.priors
        anchors = Priors(
            predictions.anchors[image], priors.stride, priors.level_sizes, priors.grids
        )
        return self.config.assigner.assign_priors(anchors, targets, self.trainable(priors, info))

    def _anchor_loss(
        self,
        predictions: CascadePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Tensor:
        config, priors = self.config, predictions.priors
        total = predictions.anchor_deltas.new_zeros((), dtype=torch.float32)
        for deltas, target, info in zip(predictions.anchor_deltas.float(), targets, infos):
            anchors = config.anchor_coder.decode(priors.boxes, deltas)
            with torch.no_grad():
                assignment = config.anchor_assigner.assign_priors(
                    priors, target, self.trainable(priors, info)
                )
                index = assignment.target_index.clamp(min=0)
                boxes = target.boxes[index] if len(target) else priors.boxes
            total = total + config.anchor_loss(anchors, boxes, assignment.is_positive.float())
        count = predictions.anchor_deltas.shape[:2].numel()
        cells = total.new_full((), count / CELLS_PER_ANCHOR)
        return total / average_over_processes(cells)


class AnchorStage(nn.Module):
    """The first stage. Children ``rpn_conv.conv``, ``rpn_reg``."""

    def __init__(self, in_channels: int, channels: int, dilation: int) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, channels, 3, padding=dilation, dilation=dilation)
        self.rpn_conv = nn.ModuleDict({"conv": conv})
        self.rpn_reg = nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> features (B, C', H, W) and deltas (B, 4, H, W)."""
        x = F.relu(self.rpn_conv["conv"](x))
        return x, self.rpn_reg(x)


class ProposalStage(nn.Module):
    """The second stage, whose kernel reaches as far as the anchor of its cell.

    Children ``rpn_conv.conv``, ``rpn_cls``, ``rpn_reg``.
    """

    def __init__(self, channels: int, num_outputs: int) -> None:
        super().__init__()
        self.rpn_conv = nn.ModuleDict({"conv": ShiftedConv2d(channels, channels)})
        self.rpn_cls = nn.Conv2d(channels, num_outputs, 1)
        self.rpn_reg = nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) and offsets (B, 18, H, W) -> logits (B, K, H, W), codes (B, 4, H, W)."""
        x = F.relu(self.rpn_conv["conv"](x, offsets))
        return self.rpn_cls(x), self.rpn_reg(x)


def kernel_offsets(anchors: Tensor, x: Tensor) -> Tensor:
    """Offsets (B, 18, H, W: y, x by kernel position, in cells) that spread a 3x3 kernel over the
    anchor of each cell of ``x`` (B, C, H, W): ``anchors`` (B, H * W, 4), in cells."""
    height, width = x.shape[2:]
    anchors = anchors.view(-1, height, width, 4)
    rows = torch.arange(height, device=x.device)[:, None].expand(height, width)
    columns = torch.arange(width, device=x.device).expand(height, width)
    shift = (box_centers(anchors) - torch.stack([columns, rows], -1)).flip(-1)  # (B, H, W, 2: y, x)
    spread = ((anchors[..., 2:] - anchors[..., :2]) / 2 - 1).flip(-1)
    steps = torch.arange(-1, 2, device=x.device)
    places = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).view(9, 2)
    offsets = shift[..., None, :] + spread[..., None, :] * places  # (B, H, W, 9, 2)
    return offsets.flatten(3).permute(0, 3, 1, 2).contiguous()
