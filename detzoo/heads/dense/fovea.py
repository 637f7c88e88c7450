"""FoveaBox (https://arxiv.org/abs/1904.03797): one point per cell, without a quality branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.fovea import FoveaAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.log_distance import LogDistanceCoder
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import NormConfig
from detzoo.layers.shifted_conv import ShiftedConv2d
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.base import PriorGrid
from detzoo.priors.points import PointGrid
from detzoo.structures import DensePredictions, ImageInfo, Losses, Priors

# Offset groups of the convolution that aligns features with boxes.
DEFORMABLE_GROUPS = 4


@config
class FoveaHeadConfig(DenseHeadConfig):
    """FoveaBox: predicts log distances to the sides of the box, in units of the prior's side.

    Args:
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
        aligned: Predict classes from features aligned with the boxes by a deformable convolution,
            with fewer but wider layers.
    """

    priors: PriorGrid = PointGrid(size=2.0)
    assigner: PriorAssigner = FoveaAssigner()
    coder: BoxCoder = LogDistanceCoder()
    classification_loss: ClassificationLoss = FocalLoss(gamma=1.5, alpha=0.4)
    box_loss: BoxLoss = SmoothL1Loss(beta=0.11)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    num_convs: NonNegativeInt = 4
    channels: Channels = 256
    norm: NormConfig | None = None
    aligned: bool = False

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> FoveaHead:
        return FoveaHead(self, in_channels, strides, num_classes)


class FoveaHead(DenseHead):
    """Children ``reg_convs``, ``conv_reg``, ``cls_convs``, ``feature_adaption`` if aligned, and
    ``conv_cls``."""

    config: FoveaHeadConfig

    def __init__(
        self,
        config: FoveaHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        width, norm = config.channels, config.norm
        self.reg_convs = tower(in_channels[0], width, config.num_convs, norm=norm)
        self.conv_reg = nn.Conv2d(width, 4, 3, padding=1)
        if config.aligned:
            self.feature_adaption = FeatureAlign(in_channels[0], width)
            self.cls_convs = nn.Sequential(
                ConvModule(width, 4 * width, 3, padding=1, norm=norm),
                ConvModule(4 * width, 4 * width, 1, norm=norm),
            )
            self.conv_cls = nn.Conv2d(4 * width, self.num_outputs, 3, padding=1)
        else:
            self.cls_convs = tower(in_channels[0], width, config.num_convs, norm=norm)
            self.conv_cls = nn.Conv2d(width, self.num_outputs, 3, padding=1)
        initialize_convs(self)
        if config.aligned:
            nn.init.normal_(self.feature_adaption.conv_offset.weight, std=0.1)
        set_prior_probability(self.conv_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        codes = self.conv_reg(self.reg_convs(x))
        if self.config.aligned:
            x = self.feature_adaption(x, codes.exp())
        return self.conv_cls(self.cls_convs(x)), codes

    def trainable(self, priors: Priors, info: ImageInfo) -> Tensor:
        """All points: those outside the image are background like any others."""
        return torch.ones_like(priors.stride, dtype=torch.bool)

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        classification, box = self.summed_losses(predictions, targets)
        num_positives = average_over_processes(targets.box_weights.sum())
        return Losses(
            loss_cls=classification / (num_positives + len(predictions)),
            loss_bbox=box / num_positives.clamp(min=1),
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.classification_loss.num_outputs(0))
        return {"conv_cls.weight": rows, "conv_cls.bias": rows}


class FeatureAlign(nn.Module):
    """Aligns each cell's features with its predicted box. Children ``conv_offset`` and
    ``conv_adaption``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_offset = nn.Conv2d(4, DEFORMABLE_GROUPS * 2 * 9, 1, bias=False)
        self.conv_adaption = ShiftedConv2d(in_channels, out_channels)

    def forward(self, x: Tensor, distances: Tensor) -> Tensor:
        """(B, C, H, W) and distances to the sides of the boxes (B, 4, H, W) -> (B, C', H, W)."""
        return F.relu(self.conv_adaption(x, self.conv_offset(distances)))
