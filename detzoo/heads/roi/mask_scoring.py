"""The RoI head of Mask Scoring R-CNN (https://arxiv.org/abs/1903.00241)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.heads.roi.base import RegionPoolingConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig, own_masks
from detzoo.heads.roi.mask_iou_head import MaskIoUHeadConfig
from detzoo.heads.roi.regions import (
    mask_targets,
    positive_labels,
    positive_rois,
    regions_with_masks,
    with_masks,
)
from detzoo.heads.roi.single_stage import OneStageRoIHead, OneStageRoIHeadConfig
from detzoo.heads.roi.staged import ImageMaps, StageRegions
from detzoo.ops.roi_align import rois_of
from detzoo.structures import Detections, ImageInfo, Losses, Targets


@config
class MaskScoringRoIHeadConfig(OneStageRoIHeadConfig):
    """Predicts boxes and masks of regions; a third head predicts the IoU of the masks.

    Args:
        mask_extractor: Extracts RoI features for the mask and mask IoU heads.
        mask_head: Predicts masks.
        mask_iou_head: Predicts the IoU of the masks.
    """

    mask_extractor: RegionPoolingConfig = PyramidRoIAlignConfig(output_size=14)
    mask_head: MaskHeadConfig = MaskHeadConfig()
    mask_iou_head: MaskIoUHeadConfig = MaskIoUHeadConfig()

    @property
    def predicts_masks(self) -> bool:
        return True

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> MaskScoringRoIHead:
        return MaskScoringRoIHead(self, in_channels, strides, num_classes)


class MaskScoringRoIHead(OneStageRoIHead):
    """Children ``mask_roi_extractor``, ``mask_head``, ``mask_iou_head``, and the base class's."""

    config: MaskScoringRoIHeadConfig

    def __init__(
        self,
        config: MaskScoringRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, config.stage, in_channels, strides, num_classes)
        self.mask_roi_extractor = config.mask_extractor.build(in_channels, strides)
        channels = self.mask_roi_extractor.out_channels
        self.mask_head = config.mask_head.build(channels, num_classes)
        self.mask_iou_head = config.mask_iou_head.build(
            channels, config.mask_extractor.output_size, num_classes
        )

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        sampled = regions_with_masks(regions.sampled, targets)
        seen = self.mask_roi_extractor(maps.levels, positive_rois(sampled))
        mask_logits = self.mask_head(seen)
        labels = positive_labels(sampled)
        wanted = mask_targets(sampled, targets, mask_logits.shape[-1])
        own = own_masks(mask_logits, labels)
        ious = _of_class(self.mask_iou_head(seen, own), labels)
        losses = self.mask_head.loss(mask_logits, labels, wanted)
        return losses | self.mask_iou_head.loss(ious, own, wanted, sampled, targets)

    def predict_branches(
        self, maps: ImageMaps, detections: Sequence[Detections]
    ) -> list[Detections]:
        """Adds RoI masks, scored by box score times predicted IoU."""
        seen = self.mask_roi_extractor(maps.levels, rois_of([image.boxes for image in detections]))
        labels = torch.cat([image.labels for image in detections])
        own = own_masks(self.mask_head(seen), labels)
        ious = _of_class(self.mask_iou_head(seen, own), labels).float()
        masked = with_masks(detections, own.float().sigmoid(), self.mask_head.config.threshold)
        return [
            dataclasses.replace(image, mask_scores=image.scores * iou)
            for image, iou in zip(masked, ious.split([len(image) for image in detections]))
        ]


def _of_class(values: Tensor, labels: Tensor) -> Tensor:
    """Selects from values (R, C) those of each label (R,) -> (R,)."""
    return values.gather(1, labels[:, None])[:, 0]
