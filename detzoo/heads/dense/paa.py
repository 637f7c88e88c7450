"""Probabilistic anchor assignment (PAA, https://arxiv.org/abs/2007.08103): the assignment depends
on the losses of anchors.

The layers are those of ATSS; the centerness branch predicts the IoU of the box.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import NonNegativeFloat, PositiveInt, config
from detzoo.heads.dense.atss import ATSSHead, ATSSHeadConfig
from detzoo.heads.dense.base import DenseTargets
from detzoo.losses.boxes import BoxLoss, GIoULoss
from detzoo.ops.boxes import elementwise_iou, pairwise_iou
from detzoo.ops.distributed import average_over_processes
from detzoo.ops.gaussian_mixture import split_in_two
from detzoo.structures import Candidates, DensePredictions, Detections, ImageInfo, Losses, Targets

# Score voting: boxes above an IoU vote with weight exp(-(1 - IoU)^2 / VOTE_SOFTNESS).
VOTE_SOFTNESS = 0.025
MIN_VOTE_IOU = 0.01


@config
class PAAHeadConfig(ATSSHeadConfig):
    """PAA: of the anchors that ``assigner`` proposes for a target, those with the smallest losses
    are positive.

    Args:
        iou_loss_weight: Weight of the loss of the predicted IoUs.
        candidates_per_level: Number of candidate anchors, those with the smallest losses, per level
            and target.
        votes: Whether boxes are refined by voting.
    """

    assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.1, negative_iou=0.1)
    box_loss: BoxLoss = GIoULoss(weight=1.3)
    iou_loss_weight: NonNegativeFloat = 0.5
    candidates_per_level: PositiveInt = 9
    votes: bool = True

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> PAAHead:
        return PAAHead(self, in_channels, strides, num_classes)


class PAAHead(ATSSHead):
    """Scores boxes by the geometric mean of class score and predicted IoU, and refines them by
    voting."""

    config: PAAHeadConfig

    # ------------------------------------------------------------------------------ training

    @torch.no_grad()
    def assign(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> DenseTargets:
        proposed = super().assign(predictions, targets, infos)
        cost = self._cost(predictions, proposed)
        sizes = predictions.priors.level_sizes
        is_positive = torch.stack(
            [
                self._probable(image_cost, index, len(target), sizes)
                for image_cost, index, target in zip(cost, proposed.index, targets)
            ]
        )
        return dataclasses.replace(
            proposed,
            labels=torch.where(is_positive, proposed.labels, self.num_classes),
            box_weights=is_positive.float(),
        )

    def _cost(self, predictions: DensePredictions, targets: DenseTargets) -> Tensor:
        """The loss (B, P) of every anchor with its proposed target."""
        config = self.config
        classification = config.classification_loss.weighted(
            predictions.cls_logits.flatten(0, 1).float(), targets.labels.flatten()
        )
        boxes = config.coder.decode(predictions.priors.boxes, predictions.box_deltas.float())
        box = config.box_loss.weighted(boxes.flatten(0, 1), targets.boxes.flatten(0, 1))
        return (classification + box).view_as(targets.labels)

    def _probable(
        self, cost: Tensor, index: Tensor, num_targets: int, level_sizes: tuple[int, ...]
    ) -> Tensor:
        """Which anchors are positive, given the cost (P,) with their proposed target ``index``
        (P,).

        Two Gaussians are fitted to the costs of a target's candidates; those of the lower Gaussian
        are positive, up to the cost at which the mixture is densest.
        """
        if num_targets == 0:
            return torch.zeros_like(index, dtype=torch.bool)
        own = index == torch.arange(num_targets, device=index.device)[:, None]  # (N, P)
        costs, candidates, start = [], [], 0
        for level in torch.where(own, cost, torch.inf).split(level_sizes, 1):
            count = min(self.config.candidates_per_level, level.shape[1])
            best = level.topk(count, 1, largest=False)
            costs.append(best.values)
            candidates.append(best.indices + start)
            start += level.shape[1]
        sorted_costs, order = torch.cat(costs, 1).sort(1)  # (N, K)
        real = sorted_costs < torch.inf
        real &= real.sum(1, keepdim=True) > 1  # a single candidate cannot be split
        low, likelihood = split_in_two(sorted_costs, real)
        low &= real
        densest = torch.where(low, likelihood, -torch.inf).argmax(1, keepdim=True)
        low &= torch.arange(low.shape[1], device=low.device) <= densest
        chosen = torch.cat(candidates, 1).gather(1, order)
        # An anchor is a candidate of one target only; entries of other targets must not overwrite
        # it.
        is_positive = torch.zeros_like(cost).scatter_reduce(
            0, chosen.flatten(), low.flatten().to(cost), "amax"
        )
        return is_positive > 0

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        assert predictions.quality_logits is not None
        config = self.config
        num_positives = average_over_processes(targets.box_weights.sum())
        num_images = float(len(predictions))
        classification = config.classification_loss(
            predictions.cls_logits.flatten(0, 1).float(),
            targets.labels.flatten(),
            targets.label_weights.flatten(),
        )
        boxes = config.coder.decode(predictions.priors.boxes, predictions.box_deltas.float())
        iou = elementwise_iou(boxes.detach(), targets.boxes)
        weights = self.box_weights(iou, targets)
        total = average_over_processes(weights.sum())
        box = config.box_loss(boxes.flatten(0, 1), targets.boxes.flatten(0, 1), weights.flatten())
        quality = F.binary_cross_entropy_with_logits(
            predictions.quality_logits.float(), iou, targets.box_weights, reduction="sum"
        )
        return Losses(
            loss_cls=classification / num_positives.clamp(min=num_images),
            loss_bbox=box / total.clamp(min=1e-12),
            loss_iou=config.iou_loss_weight * quality / num_positives.clamp(min=1),
        )

    def box_weights(self, iou: Tensor, targets: DenseTargets) -> Tensor:
        """How much the box of each anchor (B, P) counts: by its IoU with its target."""
        return iou * targets.box_weights

    # ----------------------------------------------------------------------------- inference

    def decode(self, predictions: DensePredictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """Decodes the best anchors of each level, each with all classes above the minimum score."""
        assert predictions.quality_logits is not None
        config, priors = self.config, predictions.priors
        limit = config.select.pre_nms
        out = []
        for image, info in enumerate(infos):
            scores = config.scoring.scores(predictions.cls_logits[image].float())
            quality = predictions.quality_logits[image].float().sigmoid()
            scores = (scores * quality[:, None]).sqrt()  # (P, C)
            best = priors.best_of_levels(scores.amax(1), limit)
            codes = predictions.box_deltas[image, best].float()
            boxes = self.decode_boxes(priors, best, codes, info.size)
            row, labels, chosen = config.select.pairs(scores[best])
            out.append(Candidates(boxes[row], chosen, labels, labels))
        return out

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        found = [self.config.select(image) for image in candidates]
        if not self.config.votes:
            return found
        return [vote(own, image) for own, image in zip(found, candidates)]


def vote(detections: Detections, candidates: Candidates) -> Detections:
    """Score voting: moves each box to the weighted mean of the candidates of its class that overlap
    it.

    A box without area overlaps nothing, not even itself, and is unchanged.
    """
    iou = pairwise_iou(detections.boxes, candidates.boxes)  # (D, K)
    votes = torch.exp(-(1 - iou).square() / VOTE_SOFTNESS) * candidates.scores.clamp(min=0)
    votes = votes * (iou > MIN_VOTE_IOU) * (detections.labels[:, None] == candidates.labels)
    total = votes.sum(1, keepdim=True)
    average = votes @ candidates.boxes / total
    return dataclasses.replace(detections, boxes=torch.where(total > 0, average, detections.boxes))
