"""Detectors whose queries predict masks of things and stuff (MaskFormer,
https://arxiv.org/abs/2107.06278, and Mask2Former, https://arxiv.org/abs/2112.01527)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.detectors.base import Detector, PanopticConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.query.mask_base import MaskQueryHeadConfig
from detzoo.postprocess.query_panoptic import QuerySegments
from detzoo.structures import Detections, ImageBatch, Losses, Targets
from detzoo.structures.images import Size


@config
class MaskFormerConfig(PanopticConfig):
    """A backbone and a head of queries, each of which predicts one mask.

    Args:
        panoptic_head: The head, which also predicts stuff if it fuses masks to a panoptic map.
    """

    panoptic_head: MaskQueryHeadConfig

    @property
    def predicts_masks(self) -> bool:
        return True

    @property
    def masks_cover_input(self) -> bool:
        return True

    @property
    def predicts_panoptic(self) -> bool:
        return self.panoptic_head.fusion is not None

    @property
    def needs_semantic_maps(self) -> bool:
        return self.predicts_panoptic

    def build(self, num_classes: int, num_stuff: int = 0) -> MaskFormer:
        return MaskFormer(self, num_classes, num_stuff)

    def segments_of(self, tensors: Sequence[Tensor], size: Size, num_things: int) -> QuerySegments:
        logits, scores, labels = tensors
        fusion = self.panoptic_head.fusion
        assert fusion is not None, "a panoptic detector fuses masks"
        return QuerySegments(logits, scores, labels, size, num_things, fusion)


class MaskFormer(Detector):
    """Child ``panoptic_head``."""

    config: MaskFormerConfig

    def __init__(self, config: MaskFormerConfig, num_classes: int, num_stuff: int) -> None:
        super().__init__(config)
        self.panoptic_head = config.panoptic_head.build(
            self.feature_channels, num_classes, num_stuff
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("panoptic_head", self.panoptic_head.class_parameters())

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        return self.panoptic_head.loss(self.panoptic_head(features, images), targets)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        return self.panoptic_head.detect(self.panoptic_head(features, images), images.infos)
