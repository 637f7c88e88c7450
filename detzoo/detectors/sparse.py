"""Detectors that refine a fixed set of learned proposals (Sparse R-CNN,
https://arxiv.org/abs/2011.12450)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.query.learned_proposals import LearnedProposalsConfig
from detzoo.heads.query.sparse_roi import SparseRoIHeadConfig
from detzoo.structures import Detections, ImageBatch, Targets


@config
class SparseConfig(DetectorConfig):
    """A backbone, a neck, learned proposals and the head that refines them.

    Args:
        rpn_head: The learned proposals.
        roi_head: The head that refines them.
    """

    rpn_head: LearnedProposalsConfig
    roi_head: SparseRoIHeadConfig

    @property
    def predicts_masks(self) -> bool:
        return True

    def build(self, num_classes: int) -> Sparse:
        return Sparse(self, num_classes)


class Sparse(Detector):
    """Children ``rpn_head`` and ``roi_head``."""

    config: SparseConfig

    def __init__(self, config: SparseConfig, num_classes: int) -> None:
        super().__init__(config)
        channels, strides = self.feature_channels, self.feature_strides
        self.rpn_head = config.rpn_head.build(channels[0])
        self.roi_head = config.roi_head.build(channels, strides, num_classes)

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("roi_head", self.roi_head.class_parameters())

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        boxes, queries = self.rpn_head(images.infos)
        return self.roi_head.loss(features, boxes, queries, targets, images.infos)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        boxes, queries = self.rpn_head(images.infos)
        return self.roi_head.predict(features, boxes, queries, images.infos)
