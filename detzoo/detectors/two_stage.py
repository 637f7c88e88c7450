"""Detectors that propose regions, then classify and refine them (Faster R-CNN,
https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor
from typing_extensions import Self

from detzoo.backbones.base import PretrainedModules
from detzoo.config import config
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.base import ProposalHeadConfig, RoIHeadConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.postprocess.tta import merge_proposals, to_original
from detzoo.structures import Detections, ImageBatch, Losses, Targets


@config
class TwoStageConfig(DetectorConfig):
    """A backbone, a neck, a region proposal network and a RoI head.

    Args:
        rpn_head: The region proposal head; None: proposals are given as input (Fast R-CNN,
            https://arxiv.org/abs/1504.08083).
        roi_head: The head that classifies and refines the regions.
    """

    rpn_head: ProposalHeadConfig | None
    roi_head: RoIHeadConfig

    @property
    def predicts_masks(self) -> bool:
        return self.roi_head.predicts_masks

    @property
    def needs_proposals(self) -> bool:
        return self.rpn_head is None

    @property
    def needs_semantic_maps(self) -> bool:
        return self.roi_head.needs_semantic_maps

    def from_scratch(self) -> Self:
        return dataclasses.replace(super().from_scratch(), roi_head=self.roi_head.from_scratch())

    def build(self, num_classes: int) -> TwoStage:
        return TwoStage(self, num_classes)


class TwoStage(Detector):
    """Children ``rpn_head`` and ``roi_head``."""

    config: TwoStageConfig

    def __init__(self, config: TwoStageConfig, num_classes: int) -> None:
        super().__init__(config)
        channels, strides = self.feature_channels, self.feature_strides
        self.rpn_head = None
        if config.rpn_head is not None:
            self.rpn_head = config.rpn_head.build(channels, strides)
        self.roi_head = config.roi_head.build(channels, strides, num_classes)

    def pretrained_modules(self) -> PretrainedModules:
        backbone, *others = super().pretrained_modules()
        others += self.roi_head.pretrained_modules()
        return (backbone, *others)

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("roi_head", self.roi_head.class_parameters())

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        if self.rpn_head is None:
            return self.roi_head.loss(features, given_proposals(images), targets, images.infos)
        predictions = self.rpn_head.predict(features, images.infos)
        losses = Losses.of(self.rpn_head.loss(predictions, targets, images.infos))
        proposals = self.rpn_head.propose(predictions, images.infos)
        return losses | self.roi_head.loss(features, proposals, targets, images.infos)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        return self.roi_head.predict(features, self.propose(features, images), images.infos)

    def propose(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        """Returns the proposals of each image for the RoI head."""
        if self.rpn_head is None:
            return given_proposals(images)
        predictions = self.rpn_head.predict(features, images.infos)
        return self.rpn_head.propose(predictions, images.infos)

    def detect_augmented(self, augmented: Sequence[ImageBatch]) -> list[Detections]:
        return self.merge_views(
            [(self.extract_features(batch.pixels), batch) for batch in augmented]
        )

    def merge_views(
        self, seen: Sequence[tuple[tuple[Tensor, ...], ImageBatch]]
    ) -> list[Detections]:
        """Merges the proposals of all augmentations, given with their features, and applies the RoI
        head to them in each: see :meth:`detect_augmented`."""
        found = [to_original(self.propose(maps, batch), batch.infos) for maps, batch in seen]
        proposals = [merge_proposals(image) for image in zip(*found)]
        return self.roi_head.predict_augmented(
            [(maps, batch.infos) for maps, batch in seen], proposals
        )


def given_proposals(images: ImageBatch) -> list[Detections]:
    """Returns the precomputed proposals of each image, with equal scores."""
    assert len(images.proposals) == len(images), "a detector without an RPN is given proposals"
    return [
        Detections(boxes, boxes.new_ones(len(boxes)), boxes.new_zeros(len(boxes)).long())
        for boxes in images.proposals
    ]
