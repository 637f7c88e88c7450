"""Region proposal network with guided anchors (https://arxiv.org/abs/1901.03278)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.approximate import ApproximateIoUAssigner
from detzoo.assigners.base import Assigner, PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import config
from detzoo.heads.base import ProposalHead, ProposalHeadConfig
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import has_area
from detzoo.heads.dense.guided import (
    FeatureAdaption,
    GuidedAnchorHead,
    GuidedAnchorHeadConfig,
    GuidedPredictions,
)
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.classification import ClassificationLoss, SigmoidCrossEntropy
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Candidates, Detections, ImageInfo, Losses, Targets

MATCHING = MaxIoUAssigner(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3)


@config
class GuidedRPNHeadConfig(GuidedAnchorHeadConfig, ProposalHeadConfig):
    """RPN on guided anchors: predicts objectness and a box for every anchor.

    Args:
        train_select: Selects the proposals for training a RoI head; ``select`` is for inference.
    """

    priors: AnchorGrid = AnchorGrid(scales=(8.0,), ratios=(1.0,))
    assigner: Assigner = MATCHING
    shape_assigner: PriorAssigner = ApproximateIoUAssigner(matching=MATCHING)
    anchor_coder: BoxCoder = DeltaCoder(stds=(0.07, 0.07, 0.14, 0.14), max_ratio=1e6)
    coder: BoxCoder = DeltaCoder(stds=(0.07, 0.07, 0.11, 0.11))
    sampler: Sampler | None = RandomSampler(num=256, positive_fraction=0.5)
    classification_loss: ClassificationLoss = SigmoidCrossEntropy()
    box_loss: BoxLoss = SmoothL1Loss()
    select: Select = Select(
        min_score=0.0, pre_nms=1000, suppression=NMS(max_iou=0.7), max_detections=300
    )
    train_select: Select = Select(
        min_score=0.0, pre_nms=2000, suppression=NMS(max_iou=0.7), max_detections=300
    )

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int = 1
    ) -> GuidedRPNHead:
        return GuidedRPNHead(self, in_channels, strides)


class GuidedRPNHead(GuidedAnchorHead, ProposalHead):
    """Children ``rpn_conv``, ``conv_loc``, ``conv_shape``, ``feature_adaption``, ``conv_cls``,
    ``conv_reg``."""

    config: GuidedRPNHeadConfig

    def __init__(
        self, config: GuidedRPNHeadConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__(config, strides, num_classes=1)
        self.rpn_conv = nn.Conv2d(in_channels[0], config.channels, 3, padding=1)
        self.conv_loc = nn.Conv2d(config.channels, 1, 1)
        self.conv_shape = nn.Conv2d(config.channels, 2, 1)
        self.feature_adaption = FeatureAdaption(config.channels)
        self.conv_cls = nn.Conv2d(config.channels, self.num_outputs, 1)
        self.conv_reg = nn.Conv2d(config.channels, 4, 1)
        initialize_convs(self)
        self.feature_adaption.initialize()
        set_prior_probability(self.conv_loc)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = F.relu(self.rpn_conv(x), inplace=True)
        shapes = self.conv_shape(x)
        adapted = self.feature_adaption(x, shapes)
        return self.conv_cls(adapted), self.conv_reg(adapted), shapes, self.conv_loc(x)

    def class_parameters(self) -> dict[str, ClassRows]:
        return {}

    def loss(
        self,
        predictions: GuidedPredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        losses = super().loss(predictions, [t.class_agnostic() for t in targets], infos)
        return Losses(
            loss_rpn_cls=losses["loss_cls"],
            loss_rpn_bbox=losses["loss_bbox"],
            loss_anchor_shape=losses["loss_shape"],
            loss_anchor_loc=losses["loss_loc"],
        )

    def propose(
        self, predictions: GuidedPredictions, infos: Sequence[ImageInfo]
    ) -> list[Detections]:
        with torch.no_grad():
            return self.select(self.decode(predictions, infos))

    def decode(
        self, predictions: GuidedPredictions, infos: Sequence[ImageInfo]
    ) -> list[Candidates]:
        """Decodes the anchors with the highest scores per level, as candidates that suppress each
        other only within a level.

        In training, low location scores do not exclude anchors.
        """
        scores = self.config.classification_loss.scores(predictions.cls_logits.float())[..., 0]
        if not self.training:
            scores = scores.masked_fill(~self.counts(predictions), -1.0)
        anchors, level = self.anchors(predictions), predictions.priors.level
        out = []
        for image, info in enumerate(infos):
            index = predictions.priors.best_of_levels(scores[image], self._select.pre_nms)
            boxes = self.config.coder.decode(
                anchors[image, index], predictions.box_deltas[image, index].float(), info.size
            )
            labels = torch.zeros_like(index)
            candidates = Candidates(boxes, scores[image, index], labels, level[index])
            counts = (candidates.scores >= 0) & has_area(boxes)
            out.append(self._select.keep(candidates, counts))
        return out

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        return [self._select(image) for image in candidates]

    @property
    def _select(self) -> Select:
        return self.config.train_select if self.training else self.config.select
