"""The RoI head of Grid R-CNN (https://arxiv.org/abs/1811.12030)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, PositiveInt, config
from detzoo.heads.roi.base import RegionBoxHeadConfig, RegionPoolingConfig
from detzoo.heads.roi.classifier import RegionClassifierConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.grid_head import GridHeadConfig
from detzoo.heads.roi.single_stage import OneStageRoIHead, OneStageRoIHeadConfig
from detzoo.heads.roi.staged import ImageMaps, StageRegions
from detzoo.ops.boxes import clip_boxes
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.structures import Detections, ImageInfo, Losses, Targets


@config
class GridRoIHeadConfig(OneStageRoIHeadConfig):
    """Classifies regions, and localizes the boxes of those detected by a grid head.

    Args:
        grid_extractor: Extracts RoI features for the grid head.
        grid_head: Localizes the boxes of regions.
        jitter: Maximum relative shift and scaling of regions that the grid head is trained on,
            which would otherwise be too accurate.
        max_regions: Maximum number of positive regions per batch that the grid head is trained on.
    """

    box_head: RegionBoxHeadConfig = RegionClassifierConfig()
    grid_extractor: RegionPoolingConfig = PyramidRoIAlignConfig(output_size=14)
    grid_head: GridHeadConfig = GridHeadConfig()
    jitter: NonNegativeFloat = 0.15
    max_regions: PositiveInt = 192
    select: Select = Select(min_score=0.03, suppression=NMS(max_iou=0.3), max_detections=100)

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> GridRoIHead:
        return GridRoIHead(self, in_channels, strides, num_classes)


class GridRoIHead(OneStageRoIHead):
    """Children ``grid_roi_extractor`` and ``grid_head``, and those of the base class."""

    config: GridRoIHeadConfig

    def __init__(
        self,
        config: GridRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, config.stage, in_channels, strides, num_classes)
        self.grid_roi_extractor = config.grid_extractor.build(in_channels, strides)
        self.grid_head = config.grid_head.build(
            self.grid_roi_extractor.out_channels, config.grid_extractor.output_size
        )

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        jitter, boxes, wanted = self.config.jitter, [], []
        for own, target, info in zip(regions.sampled, targets, infos):
            boxes.append(jittered(own.boxes[own.is_positive], jitter, info.size))
            wanted.append(own.target_boxes(target)[own.is_positive])
        rois = rois_of(boxes)
        some = torch.randperm(len(rois), device=rois.device)[: self.config.max_regions]
        heatmaps = self.grid_head(self.grid_roi_extractor(maps.levels, rois[some]))
        return self.grid_head.loss(heatmaps, rois[some, 1:], torch.cat(wanted)[some])

    def predict_branches(
        self, maps: ImageMaps, detections: Sequence[Detections]
    ) -> list[Detections]:
        """Replaces boxes by those of the grid head, which may exceed the image."""
        rois = rois_of([image.boxes for image in detections])
        heatmaps, _ = self.grid_head(self.grid_roi_extractor(maps.levels, rois))
        boxes = self.grid_head.boxes(heatmaps, rois[:, 1:]).split([len(d) for d in detections])
        return [dataclasses.replace(image, boxes=own) for image, own in zip(detections, boxes)]


def jittered(boxes: Tensor, amplitude: float, size: tuple[int, int]) -> Tensor:
    """Randomly shifts and scales boxes (R, 4) by up to ``amplitude`` of their size, and clips them
    to the last pixels of an image of ``size`` (height, width).
    """
    shift, growth = ((torch.rand_like(boxes) * 2 - 1) * amplitude).chunk(2, 1)
    center, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    center, half = center + extent * shift, extent * (1 + growth) / 2
    return clip_boxes(torch.cat([center - half, center + half], 1), (size[0] - 1, size[1] - 1))
