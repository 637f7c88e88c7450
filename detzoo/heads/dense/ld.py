"""Localization distillation (https://arxiv.org/abs/2102.12252): a teacher's distributions of box
sides teach a student where objects end."""

from __future__ import annotations

from collections.abc import Sequence

from detzoo.config import config
from detzoo.heads.base import DetectionHead, DistilledHead, DistilledHeadConfig
from detzoo.heads.dense.gfl import GFLHead, GFLHeadConfig
from detzoo.losses.distillation import DistillationLoss
from detzoo.structures import DensePredictions, ImageInfo, Losses, Targets


@config
class LDHeadConfig(GFLHeadConfig, DistilledHeadConfig):
    """GFL whose distributions also learn those of a teacher.

    Args:
        distillation_loss: Loss between the distributions.
    """

    distillation_loss: DistillationLoss = DistillationLoss(weight=0.25)

    def build(self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int) -> LDHead:
        return LDHead(self, in_channels, strides, num_classes)


class LDHead(GFLHead, DistilledHead):
    """Positives count by the score that they have already, as in GFL's other losses of boxes."""

    config: LDHeadConfig
    least_total = 1e-6

    def distill(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
        *,
        teacher: DetectionHead,
        taught: DensePredictions,
    ) -> Losses:
        assigned = self.assign(predictions, targets, infos)
        weights = self.positive_weights(predictions, assigned)
        own, wanted = (
            both.box_deltas.float().unflatten(-1, (4, -1)) for both in (predictions, taught)
        )
        # Unlike the other losses, the published models average this one over the sides alone.
        distillation = self.config.distillation_loss(own, wanted, weights[..., None]) / 4
        return self.losses(predictions, assigned) | Losses(loss_ld=distillation)
