"""Generalized focal loss (https://arxiv.org/abs/2006.04388).

Class scores represent the quality of the box, and each side of the box is predicted as a
distribution instead of a single value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.base import PriorAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.distance import DistanceCoder
from detzoo.config import Channels, NonNegativeInt, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.scale import Scale
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.losses.generalized_focal import DistributionFocalLoss, QualityFocalLoss
from detzoo.losses.quality import QualityLoss
from detzoo.ops.boxes import elementwise_iou
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.base import PriorGrid
from detzoo.structures import DensePredictions, Losses, Priors


@config
class GFLHeadConfig(DenseHeadConfig):
    """GFL: predicts classes, and distributions of the distances from the anchor's center to the
    sides.

    Args:
        distribution_loss: Loss of the distributions.
        max_distance: Largest distance, in strides; distributions are over 0 to this.
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
    """

    priors: PriorGrid = AnchorGrid(scales=(8.0,), ratios=(1.0,))
    assigner: PriorAssigner = ATSSAssigner()
    coder: BoxCoder = DistanceCoder()
    classification_loss: QualityLoss = QualityFocalLoss()
    box_loss: BoxLoss = GIoULoss(weight=2.0)
    distribution_loss: DistributionFocalLoss = DistributionFocalLoss()
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
    max_distance: PositiveInt = 16
    num_convs: NonNegativeInt = 4
    channels: Channels = 256
    norm: NormConfig | None = GroupNormConfig()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> GFLHead:
        return GFLHead(self, in_channels, strides, num_classes)


class GFLHead(DenseHead):
    """Children ``cls_convs``, ``reg_convs``, ``gfl_cls``, ``gfl_reg``, per level one of ``scales``,
    and ``integral``."""

    config: GFLHeadConfig
    least_total = 1.0  # of the weights that losses of boxes are divided by

    def __init__(
        self,
        config: GFLHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.box_channels = 4 * (config.max_distance + 1)
        self.cls_convs, self.reg_convs = (
            tower(in_channels[0], config.channels, config.num_convs, norm=config.norm)
            for _ in range(2)
        )
        self.gfl_cls = nn.Conv2d(config.channels, self.num_outputs, 3, padding=1)
        self.gfl_reg = nn.Conv2d(config.channels, self.box_channels, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in strides)
        self.integral = Integral(config.max_distance)
        initialize_convs(self)
        set_prior_probability(self.gfl_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        distributions = self.scales[level](self.gfl_reg(self.reg_convs(x)))
        return self.gfl_cls(self.cls_convs(x)), distributions

    def decode_boxes(
        self, priors: Priors, index: Tensor, codes: Tensor, size: tuple[int, int]
    ) -> Tensor:
        distances = self.integral(codes) * priors.stride[index, None]
        return self.config.coder.decode(priors.boxes[index], distances, size)

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        """Computes the losses; those of boxes and distributions are weighted by confidence."""
        config, priors = self.config, predictions.priors
        logits, codes = predictions.cls_logits.float(), predictions.box_deltas.float()
        stride = priors.stride[:, None]
        boxes = config.coder.decode(priors.boxes, self.integral(codes) * stride)
        with torch.no_grad():
            weights = self.positive_weights(predictions, targets)
            total = average_over_processes(weights.sum()).clamp(min=self.least_total)
            quality = elementwise_iou(boxes, targets.boxes)
            distances = config.coder.encode(priors.boxes, targets.boxes) / stride
            distances = distances.clamp(0, config.max_distance - 0.1)
        classification = config.classification_loss.rated(
            logits.flatten(0, 1), targets.labels.flatten(), quality.flatten()
        )
        classification = (classification * targets.label_weights.flatten()).sum()
        box = config.box_loss(boxes.flatten(0, 1), targets.boxes.flatten(0, 1), weights.flatten())
        distribution = config.distribution_loss(
            codes.unflatten(-1, (4, -1)), distances, weights[..., None]
        )
        return Losses(
            loss_cls=classification / targets.num_samples,
            loss_bbox=box / total,
            loss_dfl=distribution / 4 / total,
        )

    @torch.no_grad()
    def positive_weights(self, predictions: DensePredictions, targets: DenseTargets) -> Tensor:
        """(B, P) how much the box of each anchor counts: by its best score, only of positives."""
        return predictions.cls_logits.float().sigmoid().amax(-1) * targets.box_weights

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"gfl_cls.weight": ClassRows(), "gfl_cls.bias": ClassRows()}


class Integral(nn.Module):
    """The mean of each side's distribution: logits (..., 4 * (n + 1)) over 0 to n -> (..., 4)."""

    project: Tensor

    def __init__(self, max_distance: int) -> None:
        super().__init__()
        self.register_buffer("project", torch.arange(max_distance + 1).float())

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (4, -1)).softmax(-1) @ self.project
