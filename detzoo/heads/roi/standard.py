"""The RoI head of Faster and Mask R-CNN."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from typing_extensions import Self

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.base import RoIHead, RoIHeadConfig, View
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.roi.base import RegionBoxHeadConfig, RegionExtractor
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.mask_head import MaskHeadConfig, mask_probabilities
from detzoo.heads.roi.regions import (
    SampledRegions,
    box_candidates,
    box_losses,
    label_regions,
    mask_losses,
    positive_rois,
    regions_with_masks,
    sampled_rois,
    with_masks,
)
from detzoo.heads.roi.shared_stage import SharedStageConfig
from detzoo.heads.roi.views import EVERY_SCORE, predict_averaged
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Candidates, Detections, ImageInfo, Targets


@config
class StandardRoIHeadConfig(RoIHeadConfig):
    """One stage of box refinement, and masks where there is a ``mask_head``.

    Without a ``mask_extractor`` the mask head works on the box head's regions.
    """

    extractor: RegionExtractor = RoIExtractor()
    shared_stage: SharedStageConfig | None = None
    box_head: RegionBoxHeadConfig = BoxHeadConfig()
    mask_extractor: RegionExtractor | None = None
    mask_head: MaskHeadConfig | None = None
    assigner: Assigner = MaxIoUAssigner(
        positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5, match_low_quality=False
    )
    sampler: Sampler = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5), max_detections=100)

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


class StandardRoIHead(RoIHead):
    """Children ``bbox_roi_extractor``, ``bbox_head``, ``mask_roi_extractor``, ``mask_head``,
    ``shared_head``, named as in published checkpoints."""

    def __init__(
        self,
        config: StandardRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.bbox_roi_extractor = config.extractor.build(in_channels, strides)
        channels, size = self.bbox_roi_extractor.out_channels, config.extractor.output_size
        self.shared_head = None
        if config.shared_stage is not None:
            self.shared_head = config.shared_stage.build(channels)
            channels, size = self.shared_head.out_channels, size // self.shared_head.stride
        self.bbox_head = config.box_head.build(channels, size, num_classes)
        self.mask_roi_extractor = None
        if config.mask_extractor is not None:
            self.mask_roi_extractor = config.mask_extractor.build(in_channels, strides)
            channels = self.mask_roi_extractor.out_channels
        self.mask_head = None
        if config.mask_head is not None:
            self.mask_head = config.mask_head.build(channels, num_classes)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = prefixed("bbox_head", self.bbox_head.class_parameters())
        if self.mask_head is not None:
            rows |= prefixed("mask_head", self.mask_head.class_parameters())
        return rows

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        stage = self.config.shared_stage
        if self.shared_head is None or stage is None or stage.resnet.pretrained is None:
            return ()
        return (self.shared_head,)

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> dict[str, Tensor]:
        sampled = [
            self.sample(features, image, boxes.boxes, target)
            for image, (boxes, target) in enumerate(zip(proposals, targets))
        ]
        pooled = self.pool(features, sampled_rois(sampled))
        logits, deltas = self.bbox_head(pooled)
        losses = box_losses(self.bbox_head, logits, deltas, sampled, targets)
        if self.mask_head is not None:
            losses |= self._mask_loss(features, pooled, sampled, targets)
        return losses

    @torch.no_grad()
    def sample(
        self, features: Sequence[Tensor], image: int, proposals: Tensor, targets: Targets
    ) -> SampledRegions:
        """Regions of one image to train on, from its proposals (P, 4) and its targets."""
        sampler = self.config.sampler
        assignment = self.config.assigner.assign(proposals, targets)
        labelled = label_regions(
            proposals, targets, assignment, self.num_classes, adds_targets=sampler.adds_targets
        )
        losses = None
        if sampler.needs_losses:
            boxes = labelled.boxes
            rois = torch.cat([boxes.new_full((len(boxes), 1), float(image)), boxes], 1)
            logits, _ = self.bbox_head(self.pool(features, rois))
            losses = self.bbox_head.classification_losses(logits, labelled.labels)
        return labelled.drawn(sampler.sample(labelled.assignment, losses))

    def _mask_loss(
        self,
        features: Sequence[Tensor],
        pooled: Tensor,
        sampled: Sequence[SampledRegions],
        targets: Sequence[Targets],
    ) -> dict[str, Tensor]:
        assert self.mask_head is not None
        sampled = regions_with_masks(sampled, targets)
        if self.mask_roi_extractor is None:
            regions = pooled[torch.cat([image.is_positive for image in sampled])]
        else:
            regions = self.mask_roi_extractor(features, positive_rois(sampled))
        return mask_losses(self.mask_head, self.mask_head(regions), sampled, targets)

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """With RoI masks where there is a mask head."""
        candidates = self.decode(features, proposals, infos, self.config.select.min_score)
        detections = [self.config.select(image) for image in candidates]
        return detections if self.mask_head is None else self.add_masks(features, detections)

    def predict_views(
        self, views: Sequence[View], proposals: Sequence[Detections]
    ) -> list[Detections]:
        decode = partial(self.decode, min_score=EVERY_SCORE)
        add_masks = None if self.mask_head is None else self.add_masks
        return predict_averaged(views, proposals, decode, self.config.select, add_masks)

    def decode(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
        min_score: float,
    ) -> list[Candidates]:
        """Boxes of each image that score enough, before suppression."""
        pooled = self.pool(features, rois_of([image.boxes for image in proposals]))
        logits, deltas = self.bbox_head(pooled)
        return box_candidates(self.bbox_head, logits, deltas, proposals, infos, min_score)

    def add_masks(
        self, features: Sequence[Tensor], detections: Sequence[Detections]
    ) -> list[Detections]:
        """The same detections, with masks inside their boxes."""
        assert self.mask_head is not None
        rois = rois_of([image.boxes for image in detections])
        if self.mask_roi_extractor is None:
            regions = self.pool(features, rois)
        else:
            regions = self.mask_roi_extractor(features, rois)
        labels = torch.cat([image.labels for image in detections])
        probabilities = mask_probabilities(self.mask_head(regions), labels)
        return with_masks(detections, probabilities, self.mask_head.config.threshold)

    def pool(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """What the box head sees of RoIs (R, 5)."""
        regions = self.bbox_roi_extractor(features, rois)
        return regions if self.shared_head is None else self.shared_head(regions)
