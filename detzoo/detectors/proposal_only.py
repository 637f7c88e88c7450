"""Detectors that locate objects without classifying them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.base import ProposalHeadConfig
from detzoo.postprocess.tta import merge_proposals, to_original
from detzoo.structures import Detections, ImageBatch, Losses, Targets


@config
class ProposalOnlyConfig(DetectorConfig):
    """A region proposal network on its own.

    Args:
        rpn_head: The head that proposes regions.
    """

    rpn_head: ProposalHeadConfig

    @property
    def is_class_agnostic(self) -> bool:
        return True

    def build(self, num_classes: int = 1) -> ProposalOnly:
        return ProposalOnly(self)


class ProposalOnly(Detector):
    """Child ``rpn_head``."""

    config: ProposalOnlyConfig

    def __init__(self, config: ProposalOnlyConfig) -> None:
        super().__init__(config)
        self.rpn_head = config.rpn_head.build(self.feature_channels, self.feature_strides)

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        predictions = self.rpn_head.predict(features, images.infos)
        return self.rpn_head.loss(predictions, targets, images.infos)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        return self.rpn_head.propose(self.rpn_head.predict(features, images.infos), images.infos)

    def detect_augmented(self, augmented: Sequence[ImageBatch]) -> list[Detections]:
        found = [
            to_original(self.detect(self.extract_features(batch.pixels), batch), batch.infos)
            for batch in augmented
        ]
        return [merge_proposals(image) for image in zip(*found)]
