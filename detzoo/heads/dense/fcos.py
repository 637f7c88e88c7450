"""FCOS (https://arxiv.org/abs/1904.01355): one point per cell instead of anchors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.size_range import SizeRangeAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.distance import DistanceCoder
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.centerness import centerness_losses
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, DeformConvConfig, PlainConvConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.scale import Scale
from detzoo.losses.boxes import BoxLoss, IoULoss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.base import PriorGrid
from detzoo.priors.points import PointGrid
from detzoo.structures import DensePredictions, ImageInfo, Losses, Priors


@config
class PointwiseHeadConfig(DenseHeadConfig, ABC):
    """Predicts classes, distances to the sides of the box and centerness for every point.

    Args:
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
        normalized_distances: Predict distances in strides, by a ReLU, instead of in pixels, by an
            exponential.
        centerness_on_boxes: Predict centerness from the box tower instead of the class tower.
    """

    priors: PriorGrid = PointGrid()
    assigner: PriorAssigner = SizeRangeAssigner()
    coder: BoxCoder = DistanceCoder()
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = IoULoss()
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.5))
    channels: Channels = 256
    norm: NormConfig | None = GroupNormConfig()
    normalized_distances: bool = False
    centerness_on_boxes: bool = False

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> FCOSHead:
        return FCOSHead(self, in_channels, strides, num_classes)

    @abstractmethod
    def build_tower(self, in_channels: int) -> nn.Sequential:
        """Builds the layers before the predictors of classes or boxes."""


@config
class FCOSHeadConfig(PointwiseHeadConfig):
    """FCOS: points with two towers of convolutions.

    Args:
        num_convs: Number of convolutions in each tower.
        conv_bias: Whether the towers' convolutions have biases in addition to norms.
        last_convolution: Kind of the last convolution of each tower.
    """

    num_convs: NonNegativeInt = 4
    conv_bias: bool = False
    last_convolution: ConvConfig = PlainConvConfig()

    def build_tower(self, in_channels: int) -> nn.Sequential:
        return tower(
            in_channels,
            self.channels,
            self.num_convs,
            norm=self.norm,
            bias=self.conv_bias or self.norm is None,
            last=self.last_convolution,
        )


@config
class NASFCOSHeadConfig(PointwiseHeadConfig):
    """NAS-FCOS (https://arxiv.org/abs/1906.04423): points with two towers of searched layers."""

    def build_tower(self, in_channels: int) -> nn.Sequential:
        deformable, plain = DeformConvConfig(groups=2, modulated=True), PlainConvConfig()
        width, layers = in_channels, []
        for kind, size in ((deformable, 3), (plain, 3), (deformable, 3), (plain, 1)):
            layers.append(
                ConvModule(
                    width,
                    self.channels,
                    size,
                    padding=size // 2,
                    bias=kind is deformable or self.norm is None,
                    convolution=kind,
                    norm=self.norm,
                )
            )
            width = self.channels
        return nn.Sequential(*layers)


class FCOSHead(DenseHead):
    """Children ``cls_convs``, ``reg_convs``, ``conv_cls``, ``conv_reg``, ``conv_centerness`` and,
    per level, one of ``scales``."""

    config: PointwiseHeadConfig

    def __init__(
        self,
        config: PointwiseHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.cls_convs = config.build_tower(in_channels[0])
        self.reg_convs = config.build_tower(in_channels[0])
        self.conv_cls = nn.Conv2d(config.channels, self.num_outputs, 3, padding=1)
        self.conv_reg = nn.Conv2d(config.channels, 4, 3, padding=1)
        self.conv_centerness = nn.Conv2d(config.channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in strides)
        initialize_convs(self)
        set_prior_probability(self.conv_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        for_classes, for_boxes = self.cls_convs(x), self.reg_convs(x)
        distances = self.scales[level](self.conv_reg(for_boxes)).float()
        if self.config.normalized_distances:
            distances = distances.clamp(min=0) * self.strides[level]
        else:
            distances = distances.exp()
        rated = for_boxes if self.config.centerness_on_boxes else for_classes
        return self.conv_cls(for_classes), distances, self.conv_centerness(rated)

    def trainable(self, priors: Priors, info: ImageInfo) -> Tensor:
        """All points: those outside the image are background like any others."""
        return torch.ones_like(priors.stride, dtype=torch.bool)

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        num_positives = average_over_processes(targets.box_weights.sum()).clamp(min=1)
        return centerness_losses(
            self.config, predictions, targets, num_samples=num_positives, min_total=1e-6
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.classification_loss.num_outputs(0))
        return {"conv_cls.weight": rows, "conv_cls.bias": rows}
