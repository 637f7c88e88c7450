"""Panoptic FPN (https://arxiv.org/abs/1901.02446): Mask R-CNN with a semantic head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.detectors.base import PanopticConfig
from detzoo.detectors.two_stage import TwoStage, TwoStageConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.semantic_fpn import SemanticFPNHeadConfig
from detzoo.postprocess.panoptic import HeuristicFusion, StuffLogits, fuse_views
from detzoo.structures import Detections, ImageBatch, Losses, Targets, stack_semantic_maps
from detzoo.structures.images import Size


@config
class PanopticFPNConfig(TwoStageConfig, PanopticConfig):
    """A two-stage detector of things with masks, and a semantic head that segments stuff.

    What the RoI head selects are the things that are fused, so it should select few doubtful ones.

    Args:
        semantic_head: Predicts the classes of stuff.
        fusion: Fuses things and stuff.
    """

    semantic_head: SemanticFPNHeadConfig = SemanticFPNHeadConfig()
    fusion: HeuristicFusion = HeuristicFusion()

    def __post_init__(self) -> None:
        if not self.roi_head.predicts_masks:
            raise ConfigError("roi_head: must predict masks, which are fused with stuff")

    @property
    def needs_semantic_maps(self) -> bool:
        return True

    @property
    def predicts_panoptic(self) -> bool:
        return True

    def build(self, num_classes: int, num_stuff: int = 0) -> PanopticFPN:
        return PanopticFPN(self, num_classes, num_stuff)

    def segments_of(self, tensors: Sequence[Tensor], size: Size, num_things: int) -> StuffLogits:
        (logits,) = tensors
        return StuffLogits(logits, size, num_things, self.fusion)


class PanopticFPN(TwoStage):
    """Child ``semantic_head``, and those of the base class."""

    config: PanopticFPNConfig

    def __init__(self, config: PanopticFPNConfig, num_classes: int, num_stuff: int) -> None:
        super().__init__(config, num_classes)
        self.semantic_head = config.semantic_head.build(
            self.feature_channels, num_classes, num_stuff
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = prefixed("semantic_head", self.semantic_head.class_parameters())
        return super().class_parameters() | rows

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> Losses:
        losses = super().losses(features, images, targets)
        maps = stack_semantic_maps(targets)
        loss = self.semantic_head.loss(self.semantic_head(features), maps)
        return losses | Losses(loss_seg=loss)

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        found = super().detect(features, images)
        stuff = self.segment(features, images)
        return [replace(image, panoptic=logits) for image, logits in zip(found, stuff)]

    def segment(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[StuffLogits]:
        """The logits of stuff of each image."""
        height, width = images.pixels.shape[2:]
        head = self.semantic_head
        return [
            self.config.segments_of([logits.float()], (height, width), head.num_things)
            for logits in head(features)
        ]

    def merge_views(
        self, seen: Sequence[tuple[tuple[Tensor, ...], ImageBatch]]
    ) -> list[Detections]:
        """Merges things as the base class does, and averages the logits of stuff."""
        found = super().merge_views(seen)
        stuff = zip(*(self.segment(features, images) for features, images in seen))
        infos = zip(*(images.infos for _, images in seen))
        return [
            replace(things, panoptic=fuse_views(list(zip(logits, views)), things))
            for things, logits, views in zip(found, stuff, infos)
        ]
