"""Disentangled dense object detection (DDOD, https://arxiv.org/abs/2107.02963): classes and boxes
have separate samples, features and balancing of levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.predicted_atss import PredictedATSSAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import Channels, NonNegativeFloat, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseTargets, PriorHead, PriorHeadConfig, gather_targets
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability
from detzoo.layers.conv_norm_act import PLAIN, ConvModule
from detzoo.layers.convolution import DeformConvConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.scale import Scale
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.losses.scoring import Scoring
from detzoo.ops.boxes import elementwise_iou
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, inside_image
from detzoo.priors.base import PriorGrid
from detzoo.structures import DensePredictions, ImageInfo, Losses, Targets


@config
class DDODHeadConfig(PriorHeadConfig):
    """DDOD: predicts classes, a box and its IoU for every anchor.

    Args:
        class_assigner: Assigns targets for the classes.
        box_assigner: Assigns targets for the boxes.
        classification_loss: Loss of the classes.
        box_loss: Loss of the boxes.
        iou_loss_weight: Weight of the loss of the predicted IoUs.
        border: Pixels by which trained priors may exceed the image; None: no limit.
        num_convs: Number of convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: a bias instead.
        deformable: Whether the first convolution of each tower is deformable.
    """

    priors: PriorGrid = AnchorGrid(scales=(8.0,), ratios=(1.0,))
    coder: BoxCoder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    class_assigner: PredictedATSSAssigner = PredictedATSSAssigner(iou_weight=0.8)
    box_assigner: PredictedATSSAssigner = PredictedATSSAssigner(iou_weight=0.5)
    classification_loss: ClassificationLoss = FocalLoss()
    box_loss: BoxLoss = GIoULoss(weight=2.0)
    iou_loss_weight: NonNegativeFloat = 1.0
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
    border: NonNegativeFloat | None = None
    num_convs: PositiveInt = 4
    channels: Channels = 256
    norm: NormConfig | None = GroupNormConfig()
    deformable: bool = True

    @property
    def scoring(self) -> Scoring:
        return self.classification_loss

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DDODHead:
        return DDODHead(self, in_channels, strides, num_classes)


class DDODHead(PriorHead):
    """Children ``cls_convs``, ``reg_convs``, ``atss_cls``, ``atss_reg``, ``atss_iou`` and, per
    level, one of ``scales``.

    The positives of each level are counted over the entire training: ``level_positives`` (L,).
    """

    config: DDODHeadConfig
    level_positives: Tensor

    def __init__(
        self,
        config: DDODHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.cls_convs, self.reg_convs = (_tower(in_channels[0], config) for _ in range(2))
        self.atss_cls, self.atss_reg, self.atss_iou = (
            nn.Conv2d(config.channels, config.priors.num_per_cell * outputs, 3, padding=1)
            for outputs in (self.num_outputs, 4, 1)
        )
        self.scales = nn.ModuleList(Scale() for _ in strides)
        # Not in published checkpoints.
        counts = torch.zeros(len(strides), dtype=torch.float64)
        self.register_buffer("level_positives", counts, persistent=False)
        initialize_convs(self)
        set_prior_probability(self.atss_cls)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        for_classes, for_boxes = self.cls_convs(x), self.reg_convs(x)
        codes = self.scales[level](self.atss_reg(for_boxes)).float()
        return self.atss_cls(for_classes), codes, self.atss_iou(for_boxes)

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes losses with a weight per level, up to 2 for levels with the fewest positives so
        far.
        """
        assert predictions.quality_logits is not None
        config, priors = self.config, predictions.priors
        logits, quality = predictions.cls_logits.float(), predictions.quality_logits.float()
        boxes = config.coder.decode(priors.boxes, predictions.box_deltas.float())

        wanted = self._assign(config.class_assigner, predictions, boxes, targets, infos)
        weights = self._level_weights(wanted, priors.level)  # (P,)
        classification = config.classification_loss(
            logits.flatten(0, 1),
            wanted.labels.flatten(),
            (wanted.label_weights * weights).flatten(),
        )
        class_count = wanted.num_samples

        wanted = self._assign(config.box_assigner, predictions, boxes, targets, infos)
        weights = wanted.box_weights * self._level_weights(wanted, priors.level)  # (B, P)
        box = config.box_loss(boxes.flatten(0, 1), wanted.boxes.flatten(0, 1), weights.flatten())
        iou = elementwise_iou(boxes.detach(), wanted.boxes)
        rating = F.binary_cross_entropy_with_logits(quality, iou, weights, reduction="sum")
        return Losses(
            loss_cls=classification / class_count,
            loss_bbox=box / wanted.num_samples,
            loss_iou=config.iou_loss_weight * rating / wanted.num_samples,
        )

    @torch.no_grad()
    def _assign(
        self,
        assigner: PredictedATSSAssigner,
        predictions: DensePredictions,
        boxes: Tensor,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> DenseTargets:
        """Assigns the targets of all images by the predictions; ``boxes`` (B, P, 4)."""
        priors = predictions.priors
        assignments = [
            assigner.assign(
                priors, logits.float().sigmoid(), own, target, self._trainable(predictions, info)
            )
            for logits, own, target, info in zip(predictions.cls_logits, boxes, targets, infos)
        ]
        return gather_targets(assignments, targets, priors, self.num_classes)

    def _trainable(self, predictions: DensePredictions, info: ImageInfo) -> Tensor:
        return inside_image(predictions.priors, info, self.config.border)

    @torch.no_grad()
    def _level_weights(self, wanted: DenseTargets, level: Tensor) -> Tensor:
        """Counts the positives, and returns the weight of each prior by its ``level`` (P,).

        The weight is 1 on the level with the most positives so far, 2 on the one with the fewest.
        """
        found = wanted.box_weights.sum(0).double()
        self.level_positives.scatter_add_(0, level, found)
        counts = self.level_positives
        spread = counts.amax() - counts.amin()
        weights = 2 - (counts - counts.amin()) / (spread + 1e-10)
        return weights.to(wanted.box_weights.dtype)[level]

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(
            groups=self.config.priors.num_per_cell, shared=self.config.scoring.num_outputs(0)
        )
        return {"atss_cls.weight": rows, "atss_cls.bias": rows}


def _tower(in_channels: int, config: DDODHeadConfig) -> nn.Sequential:
    first = DeformConvConfig() if config.deformable else PLAIN
    kinds = [first, *[PLAIN] * (config.num_convs - 1)]
    widths = [in_channels, *[config.channels] * (config.num_convs - 1)]
    return nn.Sequential(
        *(
            ConvModule(width, config.channels, 3, padding=1, convolution=kind, norm=config.norm)
            for width, kind in zip(widths, kinds)
        )
    )
