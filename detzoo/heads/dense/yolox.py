"""YOLOX (https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.sim_ota import SimOTAAssigner
from detzoo.config import Channels, NonNegativeFloat, PositiveInt, config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import flatten_level
from detzoo.layers.csp import YOLOX_NORM, spatial_conv
from detzoo.layers.norm import NormConfig
from detzoo.necks.yolox_pafpn import initialize_convs
from detzoo.ops.boxes import elementwise_iou
from detzoo.ops.constants import constant
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.points import PointGrid
from detzoo.structures import (
    Candidates,
    DensePredictions,
    Detections,
    ImageInfo,
    Losses,
    Priors,
    Targets,
)

# Initial class and objectness scores: objects are rare.
PRIOR_PROBABILITY = 0.01
EPS = 1e-8


@config
class YOLOXHeadConfig(DetectionHeadConfig):
    """YOLOX: on each level, a tower for the classes, and one for the box and objectness. Losses are
    averaged over the positive priors.

    Args:
        channels: Channels of the towers.
        num_convs: Number of convolutions in each tower.
        depthwise: Use depthwise separable 3x3 convolutions.
        norm: Norm after each convolution of the towers.
        assigner: Assigns targets to priors.
        class_weight: Weight of the class loss.
        object_weight: Weight of the objectness loss.
        box_weight: Weight of the IoU loss.
        l1_weight: Weight of the L1 loss of the box codes, added in the final epochs.
        select: Selects the final detections.
    """

    channels: Channels = 256
    num_convs: PositiveInt = 2
    depthwise: bool = False
    norm: NormConfig = YOLOX_NORM
    assigner: SimOTAAssigner = SimOTAAssigner()
    class_weight: NonNegativeFloat = 1.0
    object_weight: NonNegativeFloat = 1.0
    box_weight: NonNegativeFloat = 5.0
    l1_weight: NonNegativeFloat = 1.0
    select: Select = Select(min_score=0.01, suppression=NMS(max_iou=0.65), max_detections=None)

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> YOLOXHead:
        return YOLOXHead(self, in_channels, strides, num_classes)


class YOLOXHead(DetectionHead):
    """Children ``multi_level_cls_convs``, ``multi_level_reg_convs`` (towers) and
    ``multi_level_conv_cls``, ``multi_level_conv_reg``, ``multi_level_conv_obj`` (predictors)."""

    def __init__(
        self,
        config: YOLOXHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        self.num_classes = num_classes
        self.uses_l1 = False
        self.multi_level_cls_convs = nn.ModuleList(_tower(c, config) for c in in_channels)
        self.multi_level_reg_convs = nn.ModuleList(_tower(c, config) for c in in_channels)

        def predictors(outputs: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(config.channels, outputs, 1) for _ in in_channels)

        self.multi_level_conv_cls = predictors(num_classes)
        self.multi_level_conv_reg = predictors(4)
        self.multi_level_conv_obj = predictors(1)
        initialize_convs(self)
        for conv in (*self.multi_level_conv_cls, *self.multi_level_conv_obj):
            assert isinstance(conv.bias, Tensor)
            nn.init.constant_(conv.bias, -math.log(1 / PRIOR_PROBABILITY - 1))

    def forward(self, features: Sequence[Tensor]) -> DensePredictions:
        logits, codes, objectness = [], [], []
        for level, x in enumerate(features):
            for_classes = self.multi_level_cls_convs[level](x)
            for_boxes = self.multi_level_reg_convs[level](x)
            logits.append(
                flatten_level(self.multi_level_conv_cls[level](for_classes), self.num_classes)
            )
            codes.append(flatten_level(self.multi_level_conv_reg[level](for_boxes), 4))
            objectness.append(flatten_level(self.multi_level_conv_obj[level](for_boxes), 1))
        grids = tuple((x.shape[2], x.shape[3]) for x in features)
        priors = PointGrid(offset=0.0).place(grids, self.strides, features[0].device)
        return DensePredictions(
            torch.cat(logits, 1), torch.cat(codes, 1), priors, torch.cat(objectness, 1)[..., 0]
        )

    def enter_final_epochs(self) -> None:
        self.uses_l1 = True

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        config = self.config
        assert predictions.quality_logits is not None
        logits = predictions.cls_logits.float()
        objectness = predictions.quality_logits.float()
        codes = predictions.box_deltas.float()
        labels, boxes, iou, is_positive = self._targets(predictions, targets)
        positive = is_positive.float()
        num_positives = average_over_processes(positive.sum()).clamp(min=1)

        # The class score of a target is trained on the IoU of the box.
        wanted = F.one_hot(labels, self.num_classes) * iou[..., None]
        classes = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(2)
        objects = F.binary_cross_entropy_with_logits(objectness, positive, reduction="sum")
        # Unused codes must not overflow, either.
        codes = torch.where(is_positive[..., None], codes, 0.0)
        overlap = elementwise_iou(decode(predictions.priors, codes), boxes)
        losses = {
            "loss_cls": config.class_weight * (classes * positive).sum(),
            "loss_bbox": config.box_weight * ((1 - overlap.square()) * positive).sum(),
            "loss_obj": config.object_weight * objects,
        }
        if self.uses_l1:
            difference = (codes - encode(predictions.priors, boxes)).abs().sum(2)
            losses["loss_l1"] = config.l1_weight * (difference * positive).sum()
        return Losses({name: value / num_positives for name, value in losses.items()})

    @torch.no_grad()
    def _targets(
        self, predictions: DensePredictions, targets: Sequence[Targets]
    ) -> tuple[Tensor, ...]:
        """Returns labels (B, P), boxes (B, P, 4), their IoU with the predictions (B, P), and which
        priors are positive (B, P). A prior without a target has label 0 and a unit square.
        """
        assert predictions.quality_logits is not None
        scores = predictions.cls_logits.float().sigmoid()
        scores = scores * predictions.quality_logits.float().sigmoid()[..., None]
        predicted = decode(predictions.priors, predictions.box_deltas.float())
        rows = []
        for image, target in enumerate(targets):
            assignment = self.config.assigner.assign(
                predictions.priors, scores[image], predicted[image], target
            )
            positive = assignment.is_positive
            labels = torch.zeros_like(assignment.target_index)
            box = constant((0.0, 0.0, 1.0, 1.0), predicted.device, predicted.dtype)
            boxes = box.expand(len(labels), 4)
            if len(target):
                index = assignment.target_index.clamp(min=0)
                labels = torch.where(positive, target.labels[index], labels)
                boxes = torch.where(positive[:, None], target.boxes[index], boxes)
            iou = torch.where(positive, assignment.iou, 0.0)
            rows.append((labels, boxes, iou, positive))
        return tuple(torch.stack(column) for column in zip(*rows))

    def decode(self, predictions: DensePredictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """Decodes at most one candidate per prior, with its most likely class."""
        assert predictions.quality_logits is not None
        best, labels = predictions.cls_logits.float().sigmoid().max(2)
        scores = best * predictions.quality_logits.float().sigmoid()
        boxes = decode(predictions.priors, predictions.box_deltas.float())
        out = []
        for image in range(len(infos)):
            candidates = Candidates(boxes[image], scores[image], labels[image], labels[image])
            is_kept = scores[image] >= self.config.select.min_score
            out.append(self.config.select.keep(candidates, is_kept))
        return out

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        return [self.config.select(image) for image in candidates]

    def class_parameters(self) -> dict[str, ClassRows]:
        names = (f"multi_level_conv_cls.{level}" for level in range(len(self.strides)))
        return {f"{name}.{leaf}": ClassRows() for name in names for leaf in ("weight", "bias")}


def encode(priors: Priors, boxes: Tensor) -> Tensor:
    """Encodes boxes (..., P, 4) as center and log size, in strides, relative to the prior."""
    stride = priors.stride[:, None]
    center = (boxes[..., :2] + boxes[..., 2:]) / 2
    size = boxes[..., 2:] - boxes[..., :2]
    return torch.cat([(center - priors.boxes[:, :2]) / stride, (size / stride + EPS).log()], -1)


def decode(priors: Priors, codes: Tensor) -> Tensor:
    """Decodes boxes (..., P, 4) from codes (..., P, 4)."""
    stride = priors.stride[:, None]
    center = codes[..., :2] * stride + priors.boxes[:, :2]
    half = codes[..., 2:].exp() * stride / 2
    return torch.cat([center - half, center + half], -1)


def _tower(in_channels: int, config: YOLOXHeadConfig) -> nn.Sequential:
    widths = [in_channels, *[config.channels] * (config.num_convs - 1)]
    return nn.Sequential(
        *(
            spatial_conv(width, config.channels, 1, config.depthwise, config.norm)
            for width in widths
        )
    )
