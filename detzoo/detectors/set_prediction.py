"""Detectors that predict a set of objects (DETR, https://arxiv.org/abs/2005.12872)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.query.base import QueryHeadConfig
from detzoo.structures import Detections, ImageBatch, Targets


@config
class SetPredictionConfig(DetectorConfig):
    """A backbone, a neck and a query head, which masks the padding of the batch.

    Args:
        bbox_head: The query head.
    """

    bbox_head: QueryHeadConfig

    def build(self, num_classes: int) -> SetPrediction:
        return SetPrediction(self, num_classes)


class SetPrediction(Detector):
    """Child ``bbox_head``."""

    config: SetPredictionConfig

    def __init__(self, config: SetPredictionConfig, num_classes: int) -> None:
        super().__init__(config)
        self.bbox_head = config.bbox_head.build(self.feature_channels, num_classes)

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("bbox_head", self.bbox_head.class_parameters())

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        return self.bbox_head.loss(self.bbox_head(features, images), targets, images.infos)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        return self.bbox_head.detect(self.bbox_head(features, images), images.infos)
