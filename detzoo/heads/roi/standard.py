"""The RoI head of Faster and Mask R-CNN."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn
from typing_extensions import Self

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.roi.base import RegionPoolingConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig, mask_probabilities
from detzoo.heads.roi.regions import mask_losses, positive_rois, regions_with_masks, with_masks
from detzoo.heads.roi.shared_stage import SharedStageConfig
from detzoo.heads.roi.single_stage import OneStageRoIHead, OneStageRoIHeadConfig
from detzoo.heads.roi.staged import ImageMaps, StageRegions
from detzoo.ops.roi_align import rois_of
from detzoo.structures import Detections, ImageInfo, Losses, Targets


@config
class StandardRoIHeadConfig(OneStageRoIHeadConfig):
    """One stage of box refinement, and masks if there is a ``mask_head``.

    Args:
        shared_stage: A backbone stage applied to every region (C4 detectors).
        mask_extractor: Extracts RoI features for the mask head; None: the box head's features are
            used.
        mask_head: Predicts masks.
    """

    assigner: Assigner = MaxIoUAssigner(
        positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5, match_low_quality=False
    )
    shared_stage: SharedStageConfig | None = None
    mask_extractor: RegionPoolingConfig | None = None
    mask_head: MaskHeadConfig | None = None

    @property
    def predicts_masks(self) -> bool:
        return self.mask_head is not None

    def from_scratch(self) -> Self:
        if self.shared_stage is None:
            return self
        return dataclasses.replace(self, shared_stage=self.shared_stage.from_scratch())

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> StandardRoIHead:
        return StandardRoIHead(self, in_channels, strides, num_classes)


class StandardRoIHead(OneStageRoIHead):
    """Children ``mask_roi_extractor`` and ``mask_head``, and those of the base class."""

    config: StandardRoIHeadConfig

    def __init__(
        self,
        config: StandardRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(
            config, config.stage, in_channels, strides, num_classes, config.shared_stage
        )
        channels = (self.shared_head or self.bbox_roi_extractor).out_channels
        self.mask_roi_extractor = None
        if config.mask_extractor is not None:
            self.mask_roi_extractor = config.mask_extractor.build(in_channels, strides)
            channels = self.mask_roi_extractor.out_channels
        self.mask_head = None
        if config.mask_head is not None:
            self.mask_head = config.mask_head.build(channels, num_classes)

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        stage = self.config.shared_stage
        if self.shared_head is None or stage is None or stage.resnet.pretrained is None:
            return ()
        return (self.shared_head,)

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        if self.mask_head is None:
            return Losses()
        sampled = regions_with_masks(regions.sampled, targets)
        if self.mask_roi_extractor is None:
            seen = regions.pooled[torch.cat([image.is_positive for image in sampled])]
        else:
            seen = self.mask_roi_extractor(maps.levels, positive_rois(sampled))
        return mask_losses(self.mask_head, self.mask_head(seen), sampled, targets)

    def predict_branches(
        self, maps: ImageMaps, detections: Sequence[Detections]
    ) -> list[Detections]:
        """Adds RoI masks if there is a mask head."""
        if self.mask_head is None:
            return list(detections)
        rois = rois_of([image.boxes for image in detections])
        if self.mask_roi_extractor is None:
            seen = self.pool(maps, 0, rois)
        else:
            seen = self.mask_roi_extractor(maps.levels, rois)
        labels = torch.cat([image.labels for image in detections])
        probabilities = mask_probabilities(self.mask_head(seen), labels)
        return with_masks(detections, probabilities, self.mask_head.config.threshold)
