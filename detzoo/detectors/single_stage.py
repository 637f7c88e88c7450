"""Detectors with a single head, which produces the final detections."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.base import DetectionHeadConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.structures import Detections, ImageBatch, Losses, Targets


@config
class SingleStageConfig(DetectorConfig):
    """A backbone, a neck and a detection head.

    Args:
        bbox_head: The detection head.
    """

    bbox_head: DetectionHeadConfig

    def build(self, num_classes: int) -> SingleStage:
        return SingleStage(self, num_classes)


class SingleStage(Detector):
    """Child ``bbox_head``."""

    config: SingleStageConfig

    def __init__(self, config: SingleStageConfig, num_classes: int) -> None:
        super().__init__(config)
        self.bbox_head = config.bbox_head.build(
            self.feature_channels, self.feature_strides, num_classes
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("bbox_head", self.bbox_head.class_parameters())

    def enter_epoch(self, epoch: int) -> None:
        self.bbox_head.enter_epoch(epoch)

    def enter_final_epochs(self) -> None:
        self.bbox_head.enter_final_epochs()

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        return self.bbox_head.loss(self.bbox_head(features), targets, images.infos)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        candidates = self.bbox_head.decode(self.bbox_head(features), images.infos)
        return self.bbox_head.select(candidates)

    def detect_augmented(self, augmented: Sequence[ImageBatch]) -> list[Detections]:
        """Merges the candidates of all augmentations before a joint selection."""
        predictions = [
            (self.bbox_head(self.extract_features(batch.pixels)), batch.infos)
            for batch in augmented
        ]
        return self.bbox_head.select(self.bbox_head.decode_augmented(predictions))
