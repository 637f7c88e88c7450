"""Detectors that segment objects without boxes (SOLO, https://arxiv.org/abs/1912.04488)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.mask_grid.base import MaskGridHeadConfig
from detzoo.structures import Detections, ImageBatch, Losses, Targets


@config
class SOLOConfig(DetectorConfig):
    """A backbone, a neck and a head that predicts masks over the whole image.

    Args:
        mask_head: The head that predicts classes and masks.
    """

    mask_head: MaskGridHeadConfig

    @property
    def predicts_masks(self) -> bool:
        return True

    @property
    def masks_cover_input(self) -> bool:
        return True

    def build(self, num_classes: int) -> SOLO:
        return SOLO(self, num_classes)


class SOLO(Detector):
    """Child ``mask_head``."""

    config: SOLOConfig

    def __init__(self, config: SOLOConfig, num_classes: int) -> None:
        super().__init__(config)
        self.mask_head = config.mask_head.build(
            self.feature_channels, self.feature_strides, num_classes
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("mask_head", self.mask_head.class_parameters())

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        return self.mask_head.loss(self.mask_head(features), targets)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        return self.mask_head.detect(self.mask_head(features), images.infos)
