"""VarifocalNet's head (https://arxiv.org/abs/2008.13367): scores represent the quality of the
refined box.

Distances from the prior's center to the sides of a box are predicted twice; the second time, like
the scores, from features sampled at nine points of the first box: a star.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.base import PriorAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.distance import DistanceCoder
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.scale import Scale
from detzoo.layers.shifted_conv import ShiftedConv2d
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.losses.quality import QualityLoss
from detzoo.losses.varifocal import VarifocalLoss
from detzoo.ops.boxes import elementwise_iou
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.base import PriorGrid
from detzoo.structures import DensePredictions, Losses, Priors

# The first distances are in units of this many strides.
DISTANCE_UNIT = 8
# The fraction of the gradient that is passed to the first distances through the star.
STAR_GRADIENT = 0.1


@config
class VFNetHeadConfig(DenseHeadConfig):
    """VarifocalNet: predicts classes and distances to the four sides of the box for every prior.

    Args:
        refined_box_loss: Loss of the second distances; ``box_loss`` is that of the first.
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
        last_convolution: Kind of each tower's last convolution.
    """

    priors: PriorGrid = AnchorGrid(scales=(8.0,), ratios=(1.0,))
    assigner: PriorAssigner = ATSSAssigner()
    coder: BoxCoder = DistanceCoder()
    classification_loss: QualityLoss = VarifocalLoss()
    box_loss: BoxLoss = GIoULoss(weight=1.5)
    refined_box_loss: BoxLoss = GIoULoss(weight=2.0)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
    num_convs: NonNegativeInt = 3
    channels: Channels = 256
    norm: NormConfig | None = GroupNormConfig()
    last_convolution: ConvConfig = PlainConvConfig()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> VFNetHead:
        return VFNetHead(self, in_channels, strides, num_classes)


class VFNetHead(DenseHead):
    """Children ``cls_convs``, ``reg_convs``, ``vfnet_reg_conv``, ``vfnet_reg``, ``scales``;
    ``vfnet_reg_refine_dconv``, ``vfnet_reg_refine``, ``scales_refine``; ``vfnet_cls_dconv``,
    ``vfnet_cls``."""

    config: VFNetHeadConfig
    box_channels = 8  # both distances
    kernel_positions: Tensor

    def __init__(
        self,
        config: VFNetHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        width, norm = config.channels, config.norm
        self.cls_convs, self.reg_convs = (
            tower(in_channels[0], width, config.num_convs, norm=norm, last=config.last_convolution)
            for _ in range(2)
        )
        self.vfnet_reg_conv = ConvModule(width, width, 3, padding=1, norm=norm)
        self.vfnet_reg = nn.Conv2d(width, 4, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in strides)
        self.vfnet_reg_refine_dconv = ShiftedConv2d(width, width)
        self.vfnet_reg_refine = nn.Conv2d(width, 4, 3, padding=1)
        self.scales_refine = nn.ModuleList(Scale() for _ in strides)
        self.vfnet_cls_dconv = ShiftedConv2d(width, width)
        self.vfnet_cls = nn.Conv2d(width, self.num_outputs, 3, padding=1)
        place = torch.arange(-1.0, 2.0)
        positions = torch.cartesian_prod(place, place)  # (9, 2) of (y, x)
        self.register_buffer("kernel_positions", positions.view(1, -1, 1, 1), persistent=False)
        initialize_convs(self)
        for conv in (self.vfnet_reg_refine_dconv, self.vfnet_cls_dconv):
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
        set_prior_probability(self.vfnet_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        for_classes, for_boxes = self.cls_convs(x), self.reg_convs(x)
        first = self.scales[level](self.vfnet_reg(self.vfnet_reg_conv(for_boxes))).float().exp()
        first = first * (DISTANCE_UNIT * self.strides[level])  # (B, 4, H, W)
        attached = (1 - STAR_GRADIENT) * first.detach() + STAR_GRADIENT * first
        shifts = star(attached / self.strides[level]) - self.kernel_positions
        at_star = F.relu(self.vfnet_reg_refine_dconv(for_boxes, shifts))
        factor = self.scales_refine[level](self.vfnet_reg_refine(at_star)).float().exp()
        logits = self.vfnet_cls(F.relu(self.vfnet_cls_dconv(for_classes, shifts)))
        return logits, torch.cat([first, factor * first.detach()], 1)

    def decode_boxes(
        self, priors: Priors, index: Tensor, codes: Tensor, size: tuple[int, int]
    ) -> Tensor:
        return super().decode_boxes(priors, index, codes.chunk(2, -1)[1], size)

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        """Computes the losses; box losses are weighted by the IoU with the targets."""
        config = self.config
        first, refined = (
            config.coder.decode(predictions.priors.boxes, distances)
            for distances in predictions.box_deltas.float().chunk(2, -1)
        )
        # Without weights: priors outside the image are background like any others.
        classification = config.classification_loss.rated(
            predictions.cls_logits.flatten(0, 1).float(),
            targets.labels.flatten(),
            self._quality(refined, targets).flatten(),
        ).sum()
        num_positives = average_over_processes(targets.box_weights.sum()).clamp(min=1)
        return Losses(
            loss_cls=classification / num_positives,
            loss_bbox=self._box_loss(config.box_loss, first, targets),
            loss_bbox_rf=self._box_loss(config.refined_box_loss, refined, targets),
        )

    def _box_loss(self, loss: BoxLoss, boxes: Tensor, targets: DenseTargets) -> Tensor:
        weights = self._quality(boxes, targets) * targets.box_weights  # (B, P)
        total = average_over_processes(weights.sum()).clamp(min=1)
        return loss(boxes.flatten(0, 1), targets.boxes.flatten(0, 1), weights.flatten()) / total

    @torch.no_grad()
    def _quality(self, boxes: Tensor, targets: DenseTargets) -> Tensor:
        """IoU (B, P) of boxes with their targets, slightly above 0 even if they do not overlap."""
        return elementwise_iou(boxes, targets.boxes).clamp(min=1e-6)

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"vfnet_cls.weight": ClassRows(), "vfnet_cls.bias": ClassRows()}


def star(distances: Tensor) -> Tensor:
    """Computes corners, midpoints of sides, and the origin, of boxes at ``distances`` left, top,
    right and bottom of the origin: (B, 4, H, W) -> (B, 18, H, W) of nine (y, x), row by row."""
    left, top, right, bottom = distances.unbind(1)
    origin = torch.zeros_like(left)
    y = torch.stack([-top, origin, bottom], 1).repeat_interleave(3, 1)  # (B, 9, H, W)
    x = torch.stack([-left, origin, right], 1).repeat(1, 3, 1, 1)
    return torch.stack([y, x], 2).flatten(1, 2)
