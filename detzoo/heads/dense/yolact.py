"""YOLACT's head (https://arxiv.org/abs/1904.02689): classes, boxes, and mask coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import Channels, NonNegativeInt, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets, flatten_level
from detzoo.heads.dense.hard_negatives import hard_negative_losses
from detzoo.heads.dense.towers import tower
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.postprocess.nms import FastNMS
from detzoo.postprocess.select import Select
from detzoo.priors.base import PriorGrid
from detzoo.priors.fitted import FittedAnchorGrid
from detzoo.structures import Candidates, DensePredictions, ImageInfo, Losses


@config
class YOLACTHeadConfig(DenseHeadConfig):
    """YOLACT: one tower for classes, boxes and mask coefficients.

    Args:
        num_convs: Number of convolutions in the tower.
        channels: Channels of the tower.
        num_prototypes: Number of mask coefficients per anchor.
        negative_ratio: Hard negative mining: background anchors with the highest losses that count
            per positive anchor, in each image.
    """

    priors: PriorGrid = FittedAnchorGrid(scales=(3.0,))
    assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4, match_ties=False)
    coder: BoxCoder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    classification_loss: ClassificationLoss = SoftmaxCrossEntropy()
    box_loss: BoxLoss = SmoothL1Loss(weight=1.5)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=FastNMS())
    num_convs: PositiveInt = 1
    channels: Channels = 256
    num_prototypes: PositiveInt = 32
    negative_ratio: NonNegativeInt = 3

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> YOLACTHead:
        return YOLACTHead(self, in_channels, strides, num_classes)


@dataclass(frozen=True)
class YOLACTPredictions(DensePredictions):
    """Predictions with the ``coefficients`` (B, P, M) of every prior's mask, from -1 to 1."""

    coefficients: Tensor | None = None


class YOLACTHead(DenseHead[YOLACTPredictions]):
    """Children ``head_convs``, ``conv_cls``, ``conv_reg``, ``conv_coeff``."""

    config: YOLACTHeadConfig

    def __init__(
        self,
        config: YOLACTHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        self.head_convs = tower(in_channels[0], config.channels, config.num_convs)
        self.conv_cls, self.conv_reg, self.conv_coeff = (
            nn.Conv2d(config.channels, config.priors.num_per_cell * outputs, 3, padding=1)
            for outputs in (self.num_outputs, 4, config.num_prototypes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        return self.conv_cls(x), self.conv_reg(x)

    def forward(self, features: Sequence[Tensor]) -> YOLACTPredictions:
        maps = [self.head_convs(x) for x in features]
        predictions = super().forward(maps)
        coefficients = torch.cat(
            [flatten_level(self.conv_coeff(x).tanh(), self.config.num_prototypes) for x in maps], 1
        )
        return YOLACTPredictions(
            predictions.cls_logits,
            predictions.box_deltas,
            predictions.priors,
            coefficients=coefficients,
        )

    def losses(self, predictions: YOLACTPredictions, targets: DenseTargets) -> Losses:
        return hard_negative_losses(
            self.config,
            predictions,
            targets,
            self.num_classes,
            self.config.negative_ratio,
            all_without_positives=True,
        )

    def decode(
        self, predictions: YOLACTPredictions, infos: Sequence[ImageInfo]
    ) -> list[Candidates]:
        return [self.candidates(predictions, image, info)[0] for image, info in enumerate(infos)]

    def candidates(
        self, predictions: YOLACTPredictions, image: int, info: ImageInfo
    ) -> tuple[Candidates, Tensor]:
        """Selects the best anchors of each level of an image, with all classes above the minimum
        score, and returns the index (K,) of each candidate's anchor.
        """
        config, priors = self.config, predictions.priors
        scores = config.scoring.scores(predictions.cls_logits[image].float())
        best = priors.best_of_levels(scores.amax(1), config.select.pre_nms)
        row, labels, chosen = config.select.pairs(scores[best])
        index = best[row]
        codes = predictions.box_deltas[image, index].float()
        boxes = self.decode_boxes(priors, index, codes, info.size)
        return Candidates(boxes, chosen, labels, labels), index

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(
            groups=self.config.priors.num_per_cell,
            shared=self.config.classification_loss.num_outputs(0),
        )
        return {"conv_cls.weight": rows, "conv_cls.bias": rows}
