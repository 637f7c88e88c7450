"""RetinaNet with harmonized gradients (GHM, https://arxiv.org/abs/1811.05181)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.dense.base import gather_targets
from detzoo.heads.dense.retina import RetinaLayers, RetinaLayersConfig
from detzoo.losses.gradient_harmonized import (
    HarmonizedClassificationConfig,
    HarmonizedRegressionConfig,
)
from detzoo.losses.scoring import Scoring, SigmoidScoring
from detzoo.priors.anchors import inside_image
from detzoo.structures import DensePredictions, ImageInfo, Losses, Targets


@config
class HarmonizedRetinaHeadConfig(RetinaLayersConfig):
    """RetinaNet with losses that weight samples by the density of their gradients.

    Args:
        assigner: Assigns targets to anchors.
        classification_loss: Loss of the classes.
        box_loss: Loss of the box deltas.
    """

    assigner: PriorAssigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
    classification_loss: HarmonizedClassificationConfig = HarmonizedClassificationConfig()
    box_loss: HarmonizedRegressionConfig = HarmonizedRegressionConfig()

    @property
    def scoring(self) -> Scoring:
        return SigmoidScoring()

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> HarmonizedRetinaHead:
        return HarmonizedRetinaHead(self, in_channels, strides, num_classes)


class HarmonizedRetinaHead(RetinaLayers):
    """The children of :class:`RetinaLayers`, ``loss_cls`` and ``loss_bbox``."""

    config: HarmonizedRetinaHeadConfig

    def __init__(
        self,
        config: HarmonizedRetinaHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, in_channels, strides, num_classes)
        self.loss_cls = config.classification_loss.build()
        self.loss_bbox = config.box_loss.build()

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses level by level, as each level updates the running counts
        separately."""
        config, priors = self.config, predictions.priors
        with torch.no_grad():
            assignments = [
                config.assigner.assign_priors(priors, target, inside_image(priors, info, None))
                for target, info in zip(targets, infos)
            ]
            wanted = gather_targets(assignments, targets, priors, self.num_classes)
            codes = config.coder.encode(priors.boxes, wanted.boxes)
        classification = _sum_over_levels(
            self.loss_cls,
            priors.level_sizes,
            predictions.cls_logits.float(),
            wanted.labels,
            wanted.label_weights,
        )
        box = _sum_over_levels(
            self.loss_bbox,
            priors.level_sizes,
            predictions.box_deltas.float(),
            codes,
            wanted.box_weights,
        )
        return Losses(loss_cls=classification, loss_bbox=box)


def _sum_over_levels(
    loss: torch.nn.Module, level_sizes: tuple[int, ...], *arguments: Tensor
) -> Tensor:
    """Sums ``loss`` of the arguments (B, P, ...) over levels, in order."""
    levels = zip(*(argument.split(level_sizes, 1) for argument in arguments))
    return torch.stack([loss(*(part.flatten(0, 1) for part in level)) for level in levels]).sum()
