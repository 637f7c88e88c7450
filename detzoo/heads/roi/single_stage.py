"""RoI heads with one box stage."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.roi.base import RegionBoxHead, RegionBoxHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.shared_stage import SharedStageConfig
from detzoo.heads.roi.staged import CascadeStage, ImageMaps, StagedRoIHead, StagedRoIHeadConfig
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler


@config
class OneStageRoIHeadConfig(StagedRoIHeadConfig):
    """A RoI head with one box stage.

    Args:
        box_head: Classifies regions and refines their boxes.
        assigner: Assigns targets to regions.
        sampler: Samples the regions that are trained on.
    """

    box_head: RegionBoxHeadConfig = BoxHeadConfig()
    assigner: Assigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5)
    sampler: Sampler = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)

    @property
    def stage(self) -> CascadeStage:
        """The only stage."""
        return CascadeStage(box_head=self.box_head, assigner=self.assigner, sampler=self.sampler)


class OneStageRoIHead(StagedRoIHead):
    """Children ``bbox_roi_extractor``, ``bbox_head`` and, with a shared stage, ``shared_head``."""

    def __init__(
        self,
        config: StagedRoIHeadConfig,
        stage: CascadeStage,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
        shared_stage: SharedStageConfig | None = None,
    ) -> None:
        super().__init__(config, (stage,), num_classes)
        self.bbox_roi_extractor = config.extractor.build(in_channels, strides)
        channels, size = self.bbox_roi_extractor.out_channels, config.extractor.output_size
        self.shared_head = None
        if shared_stage is not None:
            self.shared_head = shared_stage.build(channels)
            channels, size = self.shared_head.out_channels, size // self.shared_head.stride
        self.bbox_head = stage.box_head.build(channels, size, num_classes)

    def box_head(self, number: int) -> RegionBoxHead:
        return self.bbox_head

    def pool(self, maps: ImageMaps, number: int, rois: Tensor) -> Tensor:
        regions = self.bbox_roi_extractor(maps.levels, rois)
        return regions if self.shared_head is None else self.shared_head(regions)
