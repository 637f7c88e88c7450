"""AutoAssign (https://arxiv.org/abs/2007.03496): learned weights of the losses of points.

Every point in a target's box is positive to a degree, given how well it predicts and a learned
prior over its position in the box, and negative to a degree, given how badly it predicts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.coders.base import BoxCoder
from detzoo.coders.distance import DistanceCoder
from detzoo.config import Channels, NonNegativeInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.dense.base import PriorHead, PriorHeadConfig
from detzoo.heads.dense.towers import initialize_convs, set_prior_probability, tower
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.scale import Scale
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.losses.probabilities import negative_log
from detzoo.losses.scoring import Scoring, SigmoidScoring
from detzoo.ops.boxes import box_centers, elementwise_iou, inner_distances
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.base import PriorGrid
from detzoo.priors.points import PointGrid
from detzoo.structures import DensePredictions, ImageInfo, Losses, Priors, Targets

POSITIVE_WEIGHT, NEGATIVE_WEIGHT, CENTER_WEIGHT = 0.25, 0.75, 0.75
# Steepness of the weighting of a target's points by their confidence.
CONFIDENCE = 3.0
EPS = 1e-12


@config
class AutoAssignHeadConfig(PriorHeadConfig):
    """AutoAssign: predicts classes, distances to the sides of the box (in strides) and objectness.

    Args:
        box_loss: Loss of the boxes; its negative exponential is their likelihood.
        num_convs: Convolutions in each tower.
        channels: Channels of the towers.
        norm: Norm after each convolution of the towers; None: only a bias.
    """

    priors: PriorGrid = PointGrid(offset=0.0)
    coder: BoxCoder = DistanceCoder()
    box_loss: BoxLoss = GIoULoss(weight=5.0)
    select: Select = Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6))
    num_convs: NonNegativeInt = 4
    channels: Channels = 256
    norm: NormConfig | None = GroupNormConfig()

    @property
    def scoring(self) -> Scoring:
        return SigmoidScoring()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> AutoAssignHead:
        return AutoAssignHead(self, in_channels, strides, num_classes)


class AutoAssignHead(PriorHead):
    """Children ``cls_convs``, ``reg_convs``, ``conv_cls``, ``conv_reg``, ``conv_centerness`` (the
    objectness), per level one of ``scales``, and ``center_prior``."""

    config: AutoAssignHeadConfig

    def __init__(
        self,
        config: AutoAssignHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, strides, num_classes)
        width = config.channels
        self.cls_convs, self.reg_convs = (
            tower(in_channels[0], width, config.num_convs, norm=config.norm, bias=True)
            for _ in range(2)
        )
        self.conv_cls, self.conv_reg, self.conv_centerness = (
            nn.Conv2d(width, outputs, 3, padding=1) for outputs in (num_classes, 4, 1)
        )
        self.scales = nn.ModuleList(Scale() for _ in strides)
        self.center_prior = CenterPrior(num_classes)
        initialize_convs(self)
        set_prior_probability(self.conv_cls, 0.02)
        # Initial boxes extend four strides to each side; at 0 there would be no gradient.
        assert self.conv_reg.bias is not None
        nn.init.constant_(self.conv_reg.bias, 4.0)

    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        for_boxes = self.reg_convs(x)
        distances = self.scales[level](self.conv_reg(for_boxes)).float()
        distances = distances.clamp(min=0) * self.strides[level]
        return self.conv_cls(self.cls_convs(x)), distances, self.conv_centerness(for_boxes)

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        assert predictions.quality_logits is not None
        priors = predictions.priors
        objectness = predictions.quality_logits.float().sigmoid()[..., None]
        probability = predictions.cls_logits.float().sigmoid() * objectness  # (B, P, C)
        boxes = self.config.coder.decode(priors.boxes, predictions.box_deltas.float())
        positive, negative, center, weight_sums = [], [], [], []
        for p, image_boxes, target in zip(probability, boxes, targets):
            inside = inner_distances(box_centers(priors.boxes)[:, None], target.boxes)
            inside = (inside > 0).all(-1)  # (P, N)
            weights = self.center_prior(priors, target) * inside
            total = weights.sum()
            positive.append(self._positive(p, image_boxes, target, weights))
            negative.append(self._negative(p, image_boxes.detach(), target, inside))
            # The weights of each target's priors should add up to one; without any, there is no
            # loss.
            center.append(torch.where(inside.any(), len(target) / total.clamp(min=EPS), 0.0))
            weight_sums.append(total)
        num_targets = average_over_processes(boxes.new_full((), float(sum(map(len, targets)))))
        weight_sum = average_over_processes(torch.stack(weight_sums).sum())
        return Losses(
            loss_pos=POSITIVE_WEIGHT * torch.stack(positive).sum() / num_targets.clamp(min=1),
            loss_neg=NEGATIVE_WEIGHT * torch.stack(negative).sum() / weight_sum.clamp(min=1),
            loss_center=CENTER_WEIGHT * torch.stack(center).mean(),
        )

    def _positive(
        self, probability: Tensor, boxes: Tensor, targets: Targets, weights: Tensor
    ) -> Tensor:
        """The negative log-likelihood that the points of each target detect it.

        ``probability`` (P, C), ``boxes`` (P, 4), ``weights`` (P, N) of the points by position.
        """
        box = self.config.box_loss.weighted(boxes[:, None], targets.boxes)  # (P, N)
        found = probability[:, targets.labels] * (-box).exp()
        weights = (CONFIDENCE * found).exp() * weights
        weights = weights / weights.sum(0).clamp(min=EPS)
        return negative_log((found * weights).sum(0)).sum()

    def _negative(
        self, probability: Tensor, boxes: Tensor, targets: Targets, inside: Tensor
    ) -> Tensor:
        """Focal loss of the background; points in a target have less weight the better their boxes
        are.
        """
        certainty = probability * background_weights(boxes, targets, inside, probability.shape[1])
        return (certainty.square() * negative_log(1 - certainty)).sum()

    def class_parameters(self) -> dict[str, ClassRows]:
        names = ("conv_cls.weight", "conv_cls.bias", "center_prior.mean", "center_prior.sigma")
        return {name: ClassRows() for name in names}


class CenterPrior(nn.Module):
    """A Gaussian per class over the offset from a target's center, in strides.

    Parameters ``mean`` and ``sigma`` (C, 2), in x and y.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(num_classes, 2))
        self.sigma = nn.Parameter(torch.ones(num_classes, 2))

    def forward(self, priors: Priors, targets: Targets) -> Tensor:
        """The weights (P, N) of points for targets, between 0 and 1."""
        shift = box_centers(priors.boxes)[:, None] - box_centers(targets.boxes)
        shift = shift / priors.stride[:, None, None] - self.mean[targets.labels]
        return (-shift.square() / (2 * self.sigma[targets.labels].square())).exp().prod(-1)


@torch.no_grad()
def background_weights(boxes: Tensor, targets: Targets, inside: Tensor, num_classes: int) -> Tensor:
    """The weight (P, C) of each point as background of each class: 1 outside the targets of the
    class.

    Of the points ``inside`` (P, N) a target, the one whose box (P, 4) has the highest IoU with any
    target gets 0 and the one with the lowest gets about 1. If targets of a class overlap, the last
    one is used.
    """
    weights = torch.ones((len(boxes), num_classes), device=boxes.device)
    if len(targets) == 0:
        return weights
    iou = elementwise_iou(boxes[:, None], targets.boxes).amax(1, keepdim=True)  # (P, 1)
    merit = (1 / (1 - iou).clamp(min=EPS)).expand_as(inside)
    low = merit.masked_fill(~inside, torch.inf).amin(0)
    high = merit.masked_fill(~inside, -torch.inf).amax(0)
    merit = (merit - low + EPS) / (high - low + EPS)
    number = torch.arange(len(targets), device=boxes.device)
    last = torch.full_like(weights, -1, dtype=torch.long).scatter_reduce(
        1, targets.labels.expand_as(inside), torch.where(inside, number, -1), "amax"
    )
    return torch.where(last >= 0, 1 - merit.gather(1, last.clamp(min=0)), weights)
