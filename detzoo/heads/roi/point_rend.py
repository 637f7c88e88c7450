"""The RoI head of PointRend (https://arxiv.org/abs/1912.08193)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.heads.roi.coarse_mask_head import CoarseMaskHeadConfig
from detzoo.heads.roi.mask_head import own_masks
from detzoo.heads.roi.point_extractor import PointSamplingConfig
from detzoo.heads.roi.point_head import PointHeadConfig
from detzoo.heads.roi.regions import (
    SampledRegions,
    mask_losses,
    positive_labels,
    positive_rois,
    regions_with_masks,
    with_masks,
)
from detzoo.heads.roi.single_stage import OneStageRoIHead, OneStageRoIHeadConfig
from detzoo.heads.roi.staged import ImageMaps, StageRegions
from detzoo.ops.points import cell_centers, sample_in_rois, sample_points
from detzoo.ops.roi_align import rois_of
from detzoo.structures import Detections, ImageInfo, Losses, Targets
from detzoo.structures.image_masks import resize_maps


@config
class PointRendRoIHeadConfig(OneStageRoIHeadConfig):
    """Predicts boxes, coarse masks, and points of masks on the finest map.

    Args:
        mask_extractor: Extracts RoI features for the mask head.
        mask_head: Predicts coarse masks.
        point_head: Predicts the points at which coarse masks are uncertain.
    """

    mask_extractor: PointSamplingConfig = PointSamplingConfig(output_size=14)
    mask_head: CoarseMaskHeadConfig = CoarseMaskHeadConfig()
    point_head: PointHeadConfig = PointHeadConfig()

    @property
    def predicts_masks(self) -> bool:
        return True

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> PointRendRoIHead:
        return PointRendRoIHead(self, in_channels, strides, num_classes)


class PointRendRoIHead(OneStageRoIHead):
    """Children ``mask_roi_extractor``, ``mask_head``, ``point_head``, and the base class's."""

    config: PointRendRoIHeadConfig

    def __init__(
        self,
        config: PointRendRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, config.stage, in_channels, strides, num_classes)
        self.stride = strides[0]
        self.mask_roi_extractor = config.mask_extractor.build(in_channels, strides)
        channels = self.mask_roi_extractor.out_channels
        self.mask_head = config.mask_head.build(
            channels, config.mask_extractor.output_size, num_classes
        )
        self.point_head = config.point_head.build(channels, num_classes)

    def branch_losses(
        self,
        maps: ImageMaps,
        number: int,
        regions: StageRegions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        sampled = regions_with_masks(regions.sampled, targets)
        rois, labels = positive_rois(sampled), positive_labels(sampled)
        coarse = self.mask_head(self.mask_roi_extractor(maps.levels, rois))
        points = self.point_head.draw_points(coarse, labels)
        point_logits = self.decide_points(maps, rois, coarse, points)
        wanted = point_targets(sampled, targets, points)
        losses = mask_losses(self.mask_head, coarse, sampled, targets)
        return losses | self.point_head.loss(point_logits, labels, wanted)

    def decide_points(
        self, maps: ImageMaps, rois: Tensor, coarse: Tensor, points: Tensor
    ) -> Tensor:
        """Predicts logits (R, K, P) of points (R, P, 2) in RoIs (R, 5) with coarse masks (R, K, m,
        m).
        """
        fine = sample_in_rois(maps.levels[0], self.stride, rois, points)
        return self.point_head(fine, sample_points(coarse, points.to(coarse.dtype)))

    def predict_branches(
        self, maps: ImageMaps, detections: Sequence[Detections]
    ) -> list[Detections]:
        """Adds RoI masks."""
        rois = rois_of([image.boxes for image in detections])
        labels = torch.cat([image.labels for image in detections])
        coarse = self.mask_head(self.mask_roi_extractor(maps.levels, rois))
        masks = self._subdivide(maps, rois, coarse, labels)
        return with_masks(detections, masks.float().sigmoid(), self.config.mask_head.threshold)

    def _subdivide(self, maps: ImageMaps, rois: Tensor, coarse: Tensor, labels: Tensor) -> Tensor:
        """Coarse masks (R, K, m, m) -> logits of the labels' masks, 2^subdivisions as large."""
        config = self.config.point_head
        masks = own_masks(coarse, labels)
        for number in range(config.num_subdivisions):
            size = 2 * masks.shape[-1]
            masks = resize_maps(masks, (size, size))
            is_last = number == config.num_subdivisions - 1
            # Unnecessary, since the next step can predict all pixels at twice the size.
            if config.points_per_subdivision >= 4 * size**2 and not is_last:
                continue
            count = min(config.points_per_subdivision, size**2)
            index = masks.flatten(1).abs().topk(count, 1, largest=False).indices
            points = cell_centers(size, rois.device)[index]
            logits = own_masks(self.decide_points(maps, rois, coarse, points), labels)
            masks = masks.flatten(1).scatter(1, index, logits).view_as(masks)
        return masks


def point_targets(
    sampled: Sequence[SampledRegions], targets: Sequence[Targets], points: Tensor
) -> Tensor:
    """The target mask values (R, P) at points (R, P, 2) of a batch's positive regions."""
    wanted = []
    own_points = points.split([int(regions.is_positive.sum()) for regions in sampled])
    for regions, target, own in zip(sampled, targets, own_points):
        assert target.masks is not None, "a point head trains on targets with masks"
        boxes = regions.boxes[regions.is_positive]
        # Every object is treated as a separate image.
        index = regions.target_index[regions.is_positive][:, None]
        rois = torch.cat([index.to(boxes.dtype), boxes], 1)
        bitmaps = target.masks.to_bitmaps().bitmaps.to(boxes)[:, None]
        if len(rois) == 0:
            wanted.append(points.new_zeros((0, points.shape[1])))
        else:
            wanted.append(sample_in_rois(bitmaps, 1.0, rois, own)[:, 0])
    return torch.cat(wanted)
