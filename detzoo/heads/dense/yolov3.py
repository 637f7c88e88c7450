"""YOLOv3 (https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.grid import GridAssigner
from detzoo.config import Channels, ConfigError, NonNegativeFloat, UnitFloat, config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import flatten_level
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.yolo import YOLOAnchors
from detzoo.structures import (
    Candidates,
    DensePredictions,
    Detections,
    ImageInfo,
    Losses,
    Priors,
    Targets,
)

# A center on the border of its cell would have an infinite logit.
EPS = 1e-6


@config
class YOLOv3HeadConfig(DetectionHeadConfig):
    """YOLOv3: on each level, a 3x3 convolution, and a 1x1 one that predicts the center in the cell,
    size, confidence and classes for every anchor. Losses are summed over the batch, not averaged.

    Args:
        anchors: The anchors of each level.
        channels: Channels of each level's 3x3 convolution.
        norm: Norm after each 3x3 convolution.
        assigner: Assigns targets to anchors.
        class_weight: Weight of the class loss.
        confidence_weight: Weight of the confidence loss.
        center_weight: Weight of the center loss.
        size_weight: Weight of the size loss.
        min_confidence: Confidence below which boxes are dropped before ``select``.
        select: Selects the final detections.
    """

    anchors: YOLOAnchors
    channels: tuple[Channels, ...] = (1024, 512, 256)
    norm: NormConfig = BatchNormConfig()
    assigner: GridAssigner = GridAssigner()
    class_weight: NonNegativeFloat = 1.0
    confidence_weight: NonNegativeFloat = 1.0
    center_weight: NonNegativeFloat = 2.0
    size_weight: NonNegativeFloat = 2.0
    min_confidence: UnitFloat = 0.005
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.45))

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.anchors.sizes):
            raise ConfigError(
                f"channels: {len(self.channels)} values for {len(self.anchors.sizes)} levels of "
                "anchors"
            )

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> YOLOv3Head:
        return YOLOv3Head(self, in_channels, strides, num_classes)


class YOLOv3Head(DetectionHead):
    """Children ``convs_bridge`` and ``convs_pred``, from the coarsest level to the finest.

    A prediction has 5 + C channels: x, y, width, height, confidence and classes.
    """

    def __init__(
        self,
        config: YOLOv3HeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        self.num_classes = num_classes
        self.convs_bridge, self.convs_pred = nn.ModuleList(), nn.ModuleList()
        anchors = config.anchors.num_per_cell
        for width, channels in zip(in_channels, config.channels):
            bridge = ConvModule(
                width, channels, 3, padding=1, norm=config.norm, activation="leaky_relu"
            )
            self.convs_bridge.append(bridge)
            self.convs_pred.append(nn.Conv2d(channels, anchors * (5 + num_classes), 1))
        self._initialize()

    def forward(self, features: Sequence[Tensor]) -> DensePredictions:
        maps = []
        for x, bridge, predict in zip(features, self.convs_bridge, self.convs_pred):
            maps.append(flatten_level(predict(bridge(x)), 5 + self.num_classes))
        grids = tuple((x.shape[2], x.shape[3]) for x in features)
        priors = self.config.anchors.place(grids, self.strides, features[0].device)
        box, confidence, classes = torch.cat(maps, 1).split([4, 1, self.num_classes], 2)
        return DensePredictions(classes, box, priors, confidence[..., 0])

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        config = self.config
        assert predictions.quality_logits is not None
        labels, boxes, is_positive, is_negative = self._targets(predictions.priors, targets)
        positive = is_positive.float()
        wanted = encode(predictions.priors, boxes)
        predicted = predictions.box_deltas.float()
        classes = _cross_entropy(
            predictions.cls_logits.float(), F.one_hot(labels, self.num_classes).float()
        )
        confidence = _cross_entropy(predictions.quality_logits.float(), positive)
        center = _cross_entropy(predicted[..., :2], wanted[..., :2])
        size = (predicted[..., 2:] - wanted[..., 2:]).square()
        return Losses(
            loss_cls=config.class_weight * (classes.sum(2) * positive).sum(),
            loss_conf=config.confidence_weight * (confidence * (is_positive | is_negative)).sum(),
            loss_xy=config.center_weight * (center.sum(2) * positive).sum(),
            loss_wh=config.size_weight * (size.sum(2) * positive).sum(),
        )

    @torch.no_grad()
    def _targets(self, priors: Priors, targets: Sequence[Targets]) -> tuple[Tensor, ...]:
        """Returns labels (B, P), boxes (B, P, 4) and masks (B, P) of positive and negative anchors.

        An anchor without a target has label 0 and its own box.
        """
        rows = []
        for target in targets:
            assignment = self.config.assigner.assign(priors, target)
            labels, boxes = torch.zeros_like(assignment.target_index), priors.boxes
            if len(target):
                index = assignment.target_index.clamp(min=0)
                positive = assignment.is_positive
                labels = torch.where(positive, target.labels[index], labels)
                boxes = torch.where(positive[:, None], target.boxes[index], boxes)
            rows.append((labels, boxes, assignment.is_positive, assignment.is_background))
        return tuple(torch.stack(column) for column in zip(*rows))

    def decode(self, predictions: DensePredictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        assert predictions.quality_logits is not None
        out = []
        for image in range(len(infos)):
            confidence = predictions.quality_logits[image].float().sigmoid()
            scores = predictions.cls_logits[image].float().sigmoid()
            is_sure = confidence >= self.config.min_confidence
            # The threshold applies before multiplying by the confidence, which keeps more boxes.
            prior, label, score = self.config.select.pairs(scores.where(is_sure[:, None], -1.0))
            boxes = decode(predictions.priors, predictions.box_deltas[image].float())
            score = score * confidence[prior]
            out.append(Candidates(boxes[prior], score, label, label))
        return out

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        return [self.config.select(image) for image in candidates]

    def class_parameters(self) -> dict[str, ClassRows]:
        # Five class-independent rows precede the classes of every anchor.
        rows = ClassRows(groups=self.config.anchors.num_per_cell, leading=5)
        names = (f"convs_pred.{level}" for level in range(len(self.convs_pred)))
        return {f"{name}.{leaf}": rows for name in names for leaf in ("weight", "bias")}

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for predict, stride in zip(self.convs_pred, self.strides):
            assert isinstance(predict.bias, Tensor)
            bias = predict.bias.data.view(self.config.anchors.num_per_cell, -1)
            # Initial confidence as with eight objects per level in an image of 608 x 608 pixels.
            bias[:, 4] = _logit(8 / (608 / stride) ** 2)
            bias[:, 5:] = _logit(0.01)


def encode(priors: Priors, boxes: Tensor) -> Tensor:
    """Encodes boxes (..., P, 4) as the position of their center in the prior's cell, between 0 and
    1, and the logarithms of the size ratios."""
    center, size = _center_and_size(boxes)
    prior_center, prior_size = _center_and_size(priors.boxes)
    position = (center - prior_center) / priors.stride[:, None] + 0.5
    ratio = (size / prior_size).clamp(min=EPS)
    return torch.cat([position.clamp(EPS, 1 - EPS), ratio.log()], -1)


def decode(priors: Priors, deltas: Tensor) -> Tensor:
    """Decodes boxes (..., P, 4) from predictions whose positions are logits."""
    prior_center, prior_size = _center_and_size(priors.boxes)
    center = prior_center + (deltas[..., :2].sigmoid() - 0.5) * priors.stride[:, None]
    half = prior_size * deltas[..., 2:].exp() / 2
    return torch.cat([center - half, center + half], -1)


def _center_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _logit(probability: float) -> float:
    return -math.log(1 / probability - 1)
