"""The RoI head of Cascade R-CNN (https://arxiv.org/abs/1712.00726)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import ConfigError, NonEmpty, config
from detzoo.heads.roi.base import RegionBoxHead, RegionMaskHead, RegionPooling, RegionPoolingConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig, mask_probabilities
from detzoo.heads.roi.regions import mask_losses, positive_rois, regions_with_masks, with_masks
from detzoo.heads.roi.staged import (
    CascadeStage,
    ImageMaps,
    StagedRoIHead,
    StagedRoIHeadConfig,
    StageRegions,
)
from detzoo.layers.module_list import ModuleList
from detzoo.ops.roi_align import rois_of
from detzoo.structures import Detections, ImageInfo, Losses, Targets


@config
class CascadeRoIHeadConfig(StagedRoIHeadConfig):
    """Several stages of box refinement, each with its own mask head if there is a ``mask_head``.

    Args:
        stages: The stages; each is trained on the refined boxes of the previous one.
        mask_extractor: Extracts RoI features for the mask heads; requires a ``mask_head``.
        mask_head: Predicts masks, one head per stage.
    """

    stages: NonEmpty[CascadeStage]
    mask_extractor: RegionPoolingConfig | None = None
    mask_head: MaskHeadConfig | None = None

    def __post_init__(self) -> None:
        if (self.mask_head is None) != (self.mask_extractor is None):
            raise ConfigError("mask_extractor: requires a mask_head; give both or neither")

    @property
    def predicts_masks(self) -> bool:
        return self.mask_head is not None

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> CascadeRoIHead:
        return CascadeRoIHead(self, in_channels, strides, num_classes)

    def build_mask_head(self, number: int, in_channels: int, num_classes: int) -> RegionMaskHead:
        """Builds the mask head of a stage."""
        assert self.mask_head is not None
        return self.mask_head.build(in_channels, num_classes)


class CascadeRoIHead(StagedRoIHead):
    """Children ``bbox_roi_extractor``, ``bbox_head``, ``mask_roi_extractor``, ``mask_head``, lists
    with one entry per stage."""

    config: CascadeRoIHeadConfig

    def __init__(
        self,
        config: CascadeRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, config.stages, num_classes)
        self.bbox_roi_extractor = ModuleList[RegionPooling](
            config.extractor.build(in_channels, strides) for _ in config.stages
        )
        channels, size = self.bbox_roi_extractor[0].out_channels, config.extractor.output_size
        self.bbox_head = ModuleList[RegionBoxHead](
            stage.box_head.build(channels, size, num_classes) for stage in config.stages
        )
        self.mask_roi_extractor = ModuleList[RegionPooling]()
        self.mask_head = ModuleList[RegionMaskHead]()
        if config.mask_extractor is not None:
            for number in range(len(config.stages)):
                extractor = config.mask_extractor.build(in_channels, strides)
                self.mask_roi_extractor.append(extractor)
                head = config.build_mask_head(number, extractor.out_channels, num_classes)
                self.mask_head.append(head)

    def box_head(self, number: int) -> RegionBoxHead:
        return self.bbox_head[number]

    def pool(self, maps: ImageMaps, number: int, rois: Tensor) -> Tensor:
        return self.bbox_roi_extractor[number](maps.levels, rois)

    def losses_of_stage(self, number: int, losses: Losses) -> Losses:
        return losses.weighted(self.stages[number].loss_weight).prefixed(f"s{number}.")

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        if not self.mask_head:
            return Losses()
        sampled = regions_with_masks(regions.sampled, targets)
        (logits,) = self.mask_logits(maps, positive_rois(sampled), [number])
        return mask_losses(self.mask_head[number], logits, sampled, targets)

    def predict_branches(
        self, maps: ImageMaps, detections: Sequence[Detections]
    ) -> list[Detections]:
        """Adds RoI masks, the mean over all stages, if there are mask heads."""
        if self.config.mask_head is None:
            return list(detections)
        rois = rois_of([image.boxes for image in detections])
        labels = torch.cat([image.labels for image in detections])
        logits = self.mask_logits(maps, rois, range(len(self.stages)))
        mean = torch.stack([mask_probabilities(stage, labels) for stage in logits]).mean(0)
        return with_masks(detections, mean, self.config.mask_head.threshold)

    def mask_logits(self, maps: ImageMaps, rois: Tensor, numbers: Sequence[int]) -> list[Tensor]:
        """Mask logits (R, C, m, m) of RoIs (R, 5) from the stages ``numbers``."""
        return [
            self.mask_head[number](self.mask_roi_extractor[number](maps.levels, rois))
            for number in numbers
        ]
