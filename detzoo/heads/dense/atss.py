"""ATSS (https://arxiv.org/abs/1912.02424): one square anchor per cell, and centerness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.base import PriorAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.centerness import centerness_losses
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.scale import Scale
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.base import PriorGrid
from detzoo.structures import DensePredictions, Losses


@config
class ATSSHeadConfig(DenseHeadConfig):
    """ATSS: predicts classes, a box and centerness for every anchor.

    Two towers of convolutions are shared by all levels.

    Args:
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
        kernel_size: Kernel size of the convolutions that predict.
    """

    priors: PriorGrid = AnchorGrid(scales=(8.0,), ratios=(1.0,))
    coder: BoxCoder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    assigner: PriorAssigner = ATSSAssigner()
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = GIoULoss(weight=2.0)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
    num_convs: NonNegativeInt = 4
    channels: Channels = 256
    norm: NormConfig | None = GroupNormConfig()
    kernel_size: Literal[1, 3] = 3

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> ATSSHead:
        return ATSSHead(self, in_channels, strides, num_classes)


class ATSSHead(DenseHead):
    """Weights the box loss of each anchor by its centerness.

    Children ``cls_convs``, ``reg_convs``, ``atss_cls``, ``atss_reg``, ``atss_centerness`` and, per
    level, one of ``scales``.
    """

    config: ATSSHeadConfig

    def __init__(
        self,
        config: ATSSHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.cls_convs, self.reg_convs = (
            tower(in_channels[0], config.channels, config.num_convs, norm=config.norm)
            for _ in range(2)
        )
        width = config.channels if config.num_convs else in_channels[0]
        self.num_anchors = config.priors.num_per_cell
        self.atss_cls, self.atss_reg, self.atss_centerness = (
            nn.Conv2d(width, self.num_anchors * outputs, config.kernel_size, padding="same")
            for outputs in (self.num_outputs, 4, 1)
        )
        self.scales = nn.ModuleList(Scale() for _ in strides)
        initialize_convs(self)
        set_prior_probability(self.atss_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        for_classes, for_boxes = self.cls_convs(x), self.reg_convs(x)
        deltas = self.scales[level](self.atss_reg(for_boxes))
        return self.atss_cls(for_classes), deltas, self.atss_centerness(for_boxes)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(
            groups=self.num_anchors, shared=self.config.classification_loss.num_outputs(0)
        )
        return {"atss_cls.weight": rows, "atss_cls.bias": rows}

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        return centerness_losses(
            self.config, predictions, targets, num_samples=targets.num_samples, min_total=1.0
        )
