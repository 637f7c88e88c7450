"""FreeAnchor (https://arxiv.org/abs/1909.02466): learns to match targets with bags of anchors.

The layers are those of RetinaNet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import config
from detzoo.heads.dense.retina import RetinaLayers, RetinaLayersConfig
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.probabilities import negative_log
from detzoo.losses.scoring import Scoring, SigmoidScoring
from detzoo.ops.boxes import pairwise_iou
from detzoo.ops.distributed import average_over_processes
from detzoo.structures import DensePredictions, ImageInfo, Losses, Targets

# Number of anchors that compete for a target.
BAG_SIZE = 50
# IoU above which a box may belong to a target.
MIN_IOU = 0.6
# Exponent of the background's focal loss, and weight of the positive bags.
GAMMA, ALPHA = 2.0, 0.5


@config
class FreeAnchorHeadConfig(RetinaLayersConfig):
    """FreeAnchor: trains RetinaNet by maximum likelihood over bags of anchors.

    Args:
        box_loss: Loss of the boxes; its negative exponential is their likelihood.
    """

    coder: BoxCoder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    box_loss: BoxLoss = SmoothL1Loss(beta=0.11, weight=0.75)

    @property
    def scoring(self) -> Scoring:
        return SigmoidScoring()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> FreeAnchorHead:
        return FreeAnchorHead(self, in_channels, strides, num_classes)


class FreeAnchorHead(RetinaLayers):
    """Trained without an assignment: both losses are likelihoods over all candidate anchors."""

    config: FreeAnchorHeadConfig

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        anchors = predictions.priors.boxes
        probability = predictions.cls_logits.float().sigmoid()
        codes = predictions.box_deltas.float()
        positive, negative = [], []
        for image, target in enumerate(targets):
            positive.append(self._positive_bags(anchors, probability[image], codes[image], target))
            is_object = self._object_probability(anchors, codes[image].detach(), target)
            nothing = probability[image] * (1 - is_object)
            negative.append((nothing.pow(GAMMA) * negative_log(1 - nothing)).sum())
        num_targets = codes.new_full((), float(sum(map(len, targets))))
        num_targets = average_over_processes(num_targets)
        bag_size = min(BAG_SIZE, len(anchors))
        return Losses(
            positive_bag_loss=ALPHA * torch.stack(positive).sum() / num_targets.clamp(min=1),
            negative_bag_loss=(1 - ALPHA)
            * torch.stack(negative).sum()
            / (num_targets * bag_size).clamp(min=1),
        )

    def _positive_bags(
        self, anchors: Tensor, probability: Tensor, codes: Tensor, targets: Targets
    ) -> Tensor:
        """The negative log-likelihood that each target's bag contains an anchor that detects it.

        ``probability`` (P, C) of the classes, ``codes`` (P, 4) of the boxes.
        """
        overlap = pairwise_iou(targets.boxes, anchors)  # (N, P)
        bag = overlap.topk(min(BAG_SIZE, len(anchors)), 1, sorted=False).indices  # (N, K)
        is_class = probability[bag, targets.labels[:, None]]
        wanted = self.config.coder.encode(
            anchors[bag], targets.boxes[:, None].expand(-1, bag.shape[1], -1)
        )
        box_loss = self.config.box_loss.weighted(codes[bag], wanted)
        found = is_class * (-box_loss).exp()
        # A mean that approaches the maximum as the maximum approaches 1.
        weight = 1 / (1 - found).clamp(min=1e-12)
        weight = weight / weight.sum(1, keepdim=True)
        return negative_log((weight * found).sum(1)).sum()

    @torch.no_grad()
    def _object_probability(self, anchors: Tensor, codes: Tensor, targets: Targets) -> Tensor:
        """(P, C) the probability that each anchor's box detects a target of the class.

        It grows with the IoU, from 0 at ``MIN_IOU`` to 1 for the target's best box.
        """
        result = codes.new_zeros((self.num_classes, len(anchors)))
        if len(targets) == 0:
            return result.T
        boxes = self.config.coder.decode(anchors, codes)
        iou = pairwise_iou(targets.boxes, boxes)  # (N, P)
        best = iou.amax(1, keepdim=True).clamp(min=MIN_IOU + 1e-12)
        likely = ((iou - MIN_IOU) / (best - MIN_IOU)).clamp(0, 1)
        label = targets.labels[:, None].expand_as(likely)
        return result.scatter_reduce(0, label, likely, "amax").T
