"""Region proposal network (https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import Channels, PositiveInt, config
from detzoo.heads.base import ProposalHead, ProposalHeadConfig
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, Predictions, has_area
from detzoo.heads.dense.towers import initialize_convs, tower
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.losses.boxes import BoxLoss, L1Loss
from detzoo.losses.classification import ClassificationLoss, SigmoidCrossEntropy
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.base import PriorGrid
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Candidates, Detections, ImageInfo, Losses, Targets


@config
class ObjectnessHeadConfig(DenseHeadConfig, ProposalHeadConfig):
    """Predicts for every anchor whether it holds an object, and its box.

    Args:
        train_select: Selects the proposals that a RoI head trains on; ``select`` is for inference.
        channels: Channels of the hidden layers; None: those of the features.
    """

    priors: PriorGrid = AnchorGrid()
    assigner: Assigner = MaxIoUAssigner(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3)
    sampler: Sampler | None = RandomSampler(num=256, positive_fraction=0.5)
    classification_loss: ClassificationLoss = SigmoidCrossEntropy()
    box_loss: BoxLoss = L1Loss()
    select: Select = Select(
        min_score=0.0, pre_nms=1000, suppression=NMS(max_iou=0.7), max_detections=1000
    )
    train_select: Select = Select(
        min_score=0.0, pre_nms=2000, suppression=NMS(max_iou=0.7), max_detections=1000
    )
    channels: Channels | None = None

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int = 1
    ) -> ObjectnessHead[Any]: ...


@config
class RPNHeadConfig(ObjectnessHeadConfig):
    """Region proposal network.

    Args:
        num_convs: Number of hidden layers.
    """

    num_convs: PositiveInt = 1

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int = 1
    ) -> RPNHead:
        return RPNHead(self, in_channels, strides)


class ObjectnessHead(DenseHead[Predictions], ProposalHead):
    """A single class, object: what follows from the predictions for every anchor."""

    config: ObjectnessHeadConfig

    def __init__(self, config: ObjectnessHeadConfig, strides: Sequence[int]) -> None:
        super().__init__(config, strides, num_classes=1)

    def class_parameters(self) -> dict[str, ClassRows]:
        return {}

    def loss(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        losses = super().loss(predictions, [t.class_agnostic() for t in targets], infos)
        return Losses(loss_rpn_cls=losses["loss_cls"], loss_rpn_bbox=losses["loss_bbox"])

    def propose(self, predictions: Predictions, infos: Sequence[ImageInfo]) -> list[Detections]:
        with torch.no_grad():
            return self.select(self.decode(predictions, infos))

    def decode(self, predictions: Predictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """The best anchors of each level, as candidates that suppress each other only within a
        level."""
        scores = self.config.classification_loss.scores(predictions.cls_logits.float())[..., 0]
        index = predictions.priors.best_of_levels(scores, self._select.pre_nms)  # (B, K)
        deltas = predictions.box_deltas.gather(1, index[..., None].expand(-1, -1, 4)).float()
        scores, level = scores.gather(1, index), predictions.priors.level[index]
        references = self.references(predictions)
        if references.ndim == 2:
            references = references.expand(len(index), -1, -1)
        references = references.gather(1, index[..., None].expand(-1, -1, 4))
        out = []
        for image, info in enumerate(infos):
            boxes = self.config.coder.decode(references[image], deltas[image], info.size)
            labels = torch.zeros_like(level[image])
            candidates = Candidates(boxes, scores[image], labels, level[image])
            out.append(self._select.keep(candidates, has_area(boxes)))
        return out

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        return [self._select(image) for image in candidates]

    @property
    def _select(self) -> Select:
        return self.config.train_select if self.training else self.config.select


class RPNHead(ObjectnessHead):
    """Children ``rpn_conv``, ``rpn_cls``, ``rpn_reg``."""

    config: RPNHeadConfig

    def __init__(
        self, config: RPNHeadConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__(config, strides)
        channels = config.channels or in_channels[0]
        num_anchors = config.priors.num_per_cell
        # As published: the name of a single layer has no number.
        if config.num_convs == 1:
            self.rpn_conv: nn.Module = nn.Conv2d(in_channels[0], channels, 3, padding=1)
        else:
            self.rpn_conv = tower(in_channels[0], channels, config.num_convs)
        self.rpn_cls = nn.Conv2d(channels, num_anchors * self.num_outputs, 1)
        self.rpn_reg = nn.Conv2d(channels, num_anchors * 4, 1)
        initialize_convs(self)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        if self.config.num_convs == 1:
            x = conv_norm_act(x, self.rpn_conv, activation="relu")
        else:
            x = self.rpn_conv(x)
        return self.rpn_cls(x), self.rpn_reg(x)
