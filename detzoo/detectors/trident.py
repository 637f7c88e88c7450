"""TridentNet (https://arxiv.org/abs/1901.01892): every branch of the backbone is trained to detect
all objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.backbones.trident_resnet import TridentResNet, TridentResNetConfig
from detzoo.config import config
from detzoo.detectors.base import Detector
from detzoo.detectors.two_stage import TwoStage, TwoStageConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.structures import Candidates, Detections, ImageBatch, Losses, Targets


@config
class TridentConfig(TwoStageConfig):
    """Faster R-CNN on a backbone with branches, whose heads see each branch as an image.

    Args:
        backbone: The backbone.
        roi_head: The head that classifies and refines the regions.
    """

    backbone: TridentResNetConfig
    roi_head: StandardRoIHeadConfig

    def build(self, num_classes: int) -> Trident:
        return Trident(self, num_classes)


class Trident(TwoStage):
    """The children are those of Faster R-CNN."""

    config: TridentConfig
    backbone: TridentResNet

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        count = self.backbone.num_branches
        return super().losses(features, _repeated(images, count), list(targets) * count)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        """Where all branches detect, duplicates are suppressed once more."""
        count = self.backbone.num_branches
        found = super().detect(features, _repeated(images, count))
        if count == 1:
            return found
        return [self._merged(found[image :: len(images)]) for image in range(len(images))]

    def _merged(self, found: Sequence[Detections]) -> Detections:
        """What all branches detect in one image."""
        boxes, scores, labels = (
            torch.cat(column)
            for column in zip(*((each.boxes, each.scores, each.labels) for each in found))
        )
        return self.config.roi_head.select(Candidates(boxes, scores, labels, labels))

    def detect_augmented(self, augmented: Sequence[ImageBatch]) -> list[Detections]:
        if self.backbone.num_branches == 1:
            return super().detect_augmented(augmented)
        return Detector.detect_augmented(self, augmented)


def _repeated(images: ImageBatch, count: int) -> ImageBatch:
    """What is known about the images of each branch."""
    return dataclasses.replace(
        images, infos=images.infos * count, proposals=images.proposals * count
    )
