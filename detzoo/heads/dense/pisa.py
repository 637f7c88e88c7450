"""RetinaNet and SSD with prime sample attention (PISA, https://arxiv.org/abs/1904.04821)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.heads.dense.base import DenseHead, DenseHeadConfig, DenseTargets
from detzoo.heads.dense.retina import RetinaHead, RetinaHeadConfig
from detzoo.heads.dense.ssd import SSDHead, SSDHeadConfig
from detzoo.losses.prime_samples import CertaintyWeight, Importance, local_importance
from detzoo.ops.boxes import elementwise_iou
from detzoo.structures import DensePredictions, Losses


@config
class PrimeHeadConfig(DenseHeadConfig):
    """Prime sample attention, which PISA adds to a head.

    Args:
        importance: Weights of positives in the classification loss, by the rank of their boxes.
        certainty: Weights of boxes in an additional box loss, by the score of their class.
    """

    importance: Importance = Importance()
    certainty: CertaintyWeight = CertaintyWeight()


class PrimeHead(DenseHead):
    """Reweights positives in the losses of its base class, and adds a box loss."""

    config: PrimeHeadConfig

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> Losses:
        weighted = dataclasses.replace(targets, label_weights=self._weights(predictions, targets))
        losses = super().losses(predictions, weighted)
        losses["loss_carl"] = self._certain_boxes(predictions, targets) / targets.num_samples
        return losses

    @torch.no_grad()
    def _weights(self, predictions: DensePredictions, targets: DenseTargets) -> Tensor:
        """The weight of each prior in the classification loss: (B, P)."""
        config = self.config
        is_positive = (targets.labels < self.num_classes).flatten()
        references = self.references(predictions)
        boxes = config.coder.decode(references, predictions.box_deltas.float())
        quality = elementwise_iou(boxes, targets.boxes).flatten()
        # Objects of different images must have different indices.
        image = torch.arange(len(predictions), device=boxes.device)[:, None]
        owners = targets.index.clamp(min=0) + image * (targets.index.amax() + 1).clamp(min=1)
        labels = targets.labels.flatten()
        importance = local_importance(
            quality, labels, owners.flatten(), is_positive, self.num_classes
        )
        logits = predictions.cls_logits.flatten(0, 1).float()
        losses = config.classification_loss.weighted(logits, labels)
        weights = config.importance.weights(importance, losses, is_positive)
        return weights.view_as(targets.labels) * targets.label_weights

    def _certain_boxes(self, predictions: DensePredictions, targets: DenseTargets) -> Tensor:
        """The summed box loss, weighted by the score of the class."""
        config = self.config
        scores = config.scoring.scores(predictions.cls_logits.flatten(0, 1).float())
        own = targets.labels.flatten().clamp(max=self.num_classes - 1)[:, None]
        weights = config.certainty.weights(
            scores.gather(1, own)[:, 0], targets.box_weights.flatten()
        )
        wanted = config.coder.encode(self.references(predictions), targets.boxes)
        predicted = predictions.box_deltas.float()
        return config.box_loss(predicted.flatten(0, 1), wanted.flatten(0, 1), weights)


@config
class PISARetinaHeadConfig(RetinaHeadConfig, PrimeHeadConfig):
    """RetinaNet with prime sample attention."""

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> PISARetinaHead:
        return PISARetinaHead(self, in_channels, strides, num_classes)


class PISARetinaHead(PrimeHead, RetinaHead):
    """Children as in RetinaNet."""

    config: PISARetinaHeadConfig


@config
class PISASSDHeadConfig(SSDHeadConfig, PrimeHeadConfig):
    """SSD with prime sample attention."""

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> PISASSDHead:
        return PISASSDHead(self, in_channels, strides, num_classes)


class PISASSDHead(PrimeHead, SSDHead):
    """Children as in SSD."""

    config: PISASSDHeadConfig
