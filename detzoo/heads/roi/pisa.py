"""A RoI head with prime sample attention (PISA, https://arxiv.org/abs/1904.04821)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.heads.roi.box_head import BoxPredictor
from detzoo.heads.roi.regions import LabeledRegions, SampledRegions, num_regions
from detzoo.heads.roi.staged import ImageMaps, StageRegions
from detzoo.heads.roi.standard import StandardRoIHead, StandardRoIHeadConfig
from detzoo.losses.classification import ClassificationLoss
from detzoo.losses.prime_samples import CertaintyWeight, Importance, local_importance
from detzoo.ops.boxes import elementwise_iou
from detzoo.samplers.score_rank import ScoreRankSampler
from detzoo.structures import Losses, Targets


@config
class PISARoIHeadConfig(StandardRoIHeadConfig):
    """A standard RoI head trained with prime sample attention.

    Args:
        sampler: Samples the regions that are trained on, and weights background regions.
        importance: Weights of positives in the classification loss, by the rank of their boxes.
        certainty: Weights of boxes in an additional box loss, by the score of their class.
    """

    sampler: ScoreRankSampler = ScoreRankSampler(num=512, positive_fraction=0.25, adds_targets=True)
    importance: Importance = Importance()
    certainty: CertaintyWeight = CertaintyWeight()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> PISARoIHead:
        return PISARoIHead(self, in_channels, strides, num_classes)


@dataclass(frozen=True)
class WeightedRegions(SampledRegions):
    """Sampled regions of one image, with the ``weights`` (R,) of background regions."""

    weights: Tensor


class PISARoIHead(StandardRoIHead):
    """Children as in a standard RoI head."""

    config: PISARoIHeadConfig
    bbox_head: BoxPredictor

    @torch.no_grad()
    def sample(
        self, maps: ImageMaps, number: int, labeled: Sequence[LabeledRegions]
    ) -> list[SampledRegions]:
        return [self._sample(maps, image, regions) for image, regions in enumerate(labeled)]

    def _sample(self, maps: ImageMaps, image: int, regions: LabeledRegions) -> WeightedRegions:
        head, boxes = self.bbox_head, regions.boxes
        rois = torch.cat([boxes.new_full((len(boxes), 1), float(image)), boxes], 1)
        logits, deltas = head(self.pool(maps, 0, rois))
        scores, labels = head.loss_cls.scores(logits.float()).max(1)
        refined = head.decode_own(deltas, boxes, labels)
        losses = head.classification_losses(
            logits, torch.full_like(regions.labels, self.num_classes)
        )
        sampling, weights = self.config.sampler.sample_ranked(
            regions.assignment, scores, refined, losses
        )
        sampled = regions.sampled(sampling)
        index = torch.cat(
            [sampling.is_positive.nonzero()[:, 0], sampling.is_negative.nonzero()[:, 0]]
        )
        return WeightedRegions(
            sampled.boxes, sampled.labels, sampled.target_index, sampled.is_target, weights[index]
        )

    def box_losses(self, number: int, regions: StageRegions, targets: Sequence[Targets]) -> Losses:
        head, config = self.bbox_head, self.config
        boxes, labels, target_boxes = regions.examples(targets)
        logits = regions.logits.float()
        count = num_regions(labels)
        is_positive = labels < self.num_classes
        loss_cls = head.loss_cls
        assert isinstance(loss_cls, ClassificationLoss), "PISA weighs each region's loss"
        per_region = loss_cls.weighted(logits, labels)
        backgrounds = torch.cat([_weights(image) for image in regions.sampled])
        with torch.no_grad():
            own = labels.clamp(max=self.num_classes - 1)
            refined = head.decode_own(regions.deltas, boxes, own)
            quality = elementwise_iou(refined, target_boxes)
            importance = local_importance(
                quality, labels, _owners(regions.sampled, targets), is_positive, self.num_classes
            )
            weights = config.importance.weights(importance, per_region, is_positive)
            weights = torch.where(is_positive, weights, backgrounds)
        predicted, wanted = head.compared(regions.deltas, boxes, labels, target_boxes)
        scores = loss_cls.scores(logits)[is_positive].gather(1, labels[is_positive][:, None])
        certainty = config.certainty.weights(scores[:, 0], torch.ones_like(scores[:, 0]))
        box_loss = head.config.box_loss
        metrics = loss_cls.losses(logits.detach(), labels, count).metrics
        return Losses(
            loss_cls=(per_region * weights).sum() / count,
            loss_bbox=box_loss(predicted, wanted) / count,
            loss_carl=box_loss(predicted, wanted, certainty) / count,
            metrics=metrics,
        )


def _weights(regions: SampledRegions) -> Tensor:
    assert isinstance(regions, WeightedRegions)
    return regions.weights


def _owners(sampled: Sequence[SampledRegions], targets: Sequence[Targets]) -> Tensor:
    """The index of the object of each region (R,), counted over all images of a batch."""
    counts = [0, *(len(target) for target in targets)]
    starts = torch.tensor(counts).cumsum(0).tolist()
    return torch.cat(
        [image.target_index.clamp(min=0) + start for image, start in zip(sampled, starts)]
    )
