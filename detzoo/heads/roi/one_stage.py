"""What RoI heads with one stage of boxes share: these boxes, before something looks closer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.base import RoIHead, RoIHeadConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.roi.base import RegionBoxHeadConfig, RegionExtractor
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.regions import (
    SampledRegions,
    box_candidates,
    box_losses,
    draw_regions,
    sampled_rois,
)
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Candidates, Detections, ImageInfo, Losses, Targets


@config
class OneStageRoIHeadConfig(RoIHeadConfig):
    """Which regions are trained on, and how they become boxes."""

    extractor: RegionExtractor = RoIExtractor()
    box_head: RegionBoxHeadConfig = BoxHeadConfig()
    assigner: Assigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5)
    sampler: Sampler = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5), max_detections=100)


class OneStageRoIHead(RoIHead):
    """Children ``bbox_roi_extractor`` and ``bbox_head``."""

    config: OneStageRoIHeadConfig

    def __init__(
        self,
        config: OneStageRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.bbox_roi_extractor = config.extractor.build(in_channels, strides)
        self.bbox_head = config.box_head.build(
            self.bbox_roi_extractor.out_channels, config.extractor.output_size, num_classes
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("bbox_head", self.bbox_head.class_parameters())

    def train_boxes(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
    ) -> tuple[list[SampledRegions], Losses]:
        """Regions drawn for training, and the losses of their boxes."""
        boxes = [image.boxes for image in proposals]
        sampled = draw_regions(
            boxes, targets, self.config.assigner, self.config.sampler, self.num_classes
        )
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, sampled_rois(sampled)))
        return sampled, box_losses(self.bbox_head, logits, deltas, sampled, targets)

    def detect(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """Boxes of each image after suppression."""
        candidates = self.decode(features, proposals, infos)
        return [self.config.select(image) for image in candidates]

    def decode(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Candidates]:
        """Boxes of each image, before suppression."""
        rois = rois_of([image.boxes for image in proposals])
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, rois))
        min_score = self.config.select.min_score
        return box_candidates(self.bbox_head, logits, deltas, proposals, infos, min_score)
