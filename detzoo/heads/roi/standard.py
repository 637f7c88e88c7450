"""The RoI head of Faster and Mask R-CNN."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import Self

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import config
from detzoo.heads.base import RoIHead, RoIHeadConfig
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.shared_stage import SharedStageConfig
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Assignment, Detections, ImageInfo, RoIMasks, Targets


@config
class StandardRoIHeadConfig(RoIHeadConfig):
    """One stage of box refinement, and masks where there is a ``mask_head``.

    Without a ``mask_extractor`` the mask head works on the box head's regions.
    """

    extractor: RoIExtractor = RoIExtractor()
    shared_stage: SharedStageConfig | None = None
    box_head: BoxHeadConfig = BoxHeadConfig()
    mask_extractor: RoIExtractor | None = None
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


@dataclass(frozen=True)
class SampledRegions:
    """Regions of one image drawn for training.

    ``boxes`` (R, 4); ``labels`` (R,), C for background; ``target_index`` (R,) counts for positives.
    """

    boxes: Tensor
    labels: Tensor
    target_index: Tensor


class StandardRoIHead(RoIHead):
    """Children ``bbox_head``, ``mask_head``, ``shared_head``, named as in published checkpoints."""

    def __init__(
        self,
        config: StandardRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        self.num_classes = num_classes
        channels, size = in_channels[0], config.extractor.output_size
        self.shared_head = None
        if config.shared_stage is not None:
            self.shared_head = config.shared_stage.build(channels)
            channels, size = self.shared_head.out_channels, size // self.shared_head.stride
        self.bbox_head = config.box_head.build(channels, size, num_classes)
        self.mask_head = None
        if config.mask_head is not None:
            self.mask_head = config.mask_head.build(channels, num_classes)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = prefixed("bbox_head", self.bbox_head.class_parameters())
        if self.mask_head is not None:
            rows |= prefixed("mask_head", self.mask_head.class_parameters())
        return rows

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        return () if self.shared_head is None else (self.shared_head,)

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
        labels = torch.cat([regions.labels for regions in sampled])
        boxes = torch.cat([regions.boxes for regions in sampled])
        wanted = torch.cat([_target_boxes(s, t) for s, t in zip(sampled, targets)])
        pooled = self.pool(features, rois_of([regions.boxes for regions in sampled]))
        logits, deltas = self.bbox_head(pooled)
        losses = self.bbox_head.loss(logits, deltas, boxes, labels, wanted)
        if self.mask_head is not None:
            losses |= self._mask_loss(features, pooled, sampled, targets)
        return losses

    @torch.no_grad()
    def sample(
        self, features: Sequence[Tensor], image: int, proposals: Tensor, targets: Targets
    ) -> SampledRegions:
        """Regions of one image to train on, from its proposals (P, 4) and its targets."""
        assignment = self.config.assigner.assign(proposals, targets)
        boxes = proposals
        if self.config.sampler.adds_targets:
            own = torch.arange(len(targets), device=boxes.device)
            boxes = torch.cat([targets.boxes, proposals])
            assignment = Assignment(
                torch.cat([own, assignment.target_index]),
                torch.cat([torch.ones_like(own, dtype=torch.float32), assignment.iou]),
            )
        labels = torch.full((len(boxes),), self.num_classes, device=boxes.device)
        if len(targets):
            own_label = targets.labels[assignment.target_index.clamp(min=0)]
            labels = torch.where(assignment.is_positive, own_label, labels)
        losses = None
        if self.config.sampler.needs_losses:
            rois = torch.cat([boxes.new_full((len(boxes), 1), float(image)), boxes], 1)
            logits, _ = self.bbox_head(self.pool(features, rois))
            losses = self.bbox_head.config.classification_loss.per_example(logits.float(), labels)
        sampling = self.config.sampler.sample(assignment, losses)
        index = torch.cat(
            [sampling.is_positive.nonzero()[:, 0], sampling.is_negative.nonzero()[:, 0]]
        )
        return SampledRegions(boxes[index], labels[index], assignment.target_index[index])

    def _mask_loss(
        self,
        features: Sequence[Tensor],
        pooled: Tensor,
        sampled: Sequence[SampledRegions],
        targets: Sequence[Targets],
    ) -> dict[str, Tensor]:
        assert self.mask_head is not None
        positive = [regions.labels < self.num_classes for regions in sampled]
        boxes = [regions.boxes[mask] for regions, mask in zip(sampled, positive)]
        if self.config.mask_extractor is None:
            regions = pooled[torch.cat(positive)]
        else:
            rois = rois_of(boxes)
            regions = self.config.mask_extractor.extract(features, self.strides, rois)
        logits = self.mask_head(regions)
        labels = torch.cat([regions.labels[mask] for regions, mask in zip(sampled, positive)])
        wanted = []
        for image, mask, box, target in zip(sampled, positive, boxes, targets):
            assert target.masks is not None, "a mask head trains on targets with masks"
            index = image.target_index[mask]
            wanted.append(target.masks.crop_and_resize(box, index, logits.shape[-1]))
        return self.mask_head.loss(logits, labels, torch.cat(wanted))

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """With RoI masks where there is a mask head."""
        counts = [len(image) for image in proposals]
        pooled = self.pool(features, rois_of([image.boxes for image in proposals]))
        logits, deltas = self.bbox_head(pooled)
        select = self.config.select
        detections = []
        columns = zip(logits.split(counts), deltas.split(counts), proposals, infos)
        for image_logits, image_deltas, regions, info in columns:
            candidates = self.bbox_head.decode(
                image_logits, image_deltas, regions.boxes, info, select.min_score
            )
            detections.append(select(candidates))
        return detections if self.mask_head is None else self._add_masks(features, detections)

    def _add_masks(
        self, features: Sequence[Tensor], detections: Sequence[Detections]
    ) -> list[Detections]:
        assert self.mask_head is not None
        rois = rois_of([image.boxes for image in detections])
        if self.config.mask_extractor is None:
            regions = self.pool(features, rois)
        else:
            regions = self.config.mask_extractor.extract(features, self.strides, rois)
        labels = torch.cat([image.labels for image in detections])
        probabilities = self.mask_head.probabilities(self.mask_head(regions), labels)
        threshold = self.mask_head.config.threshold
        return [
            Detections(image.boxes, image.scores, image.labels, RoIMasks(grids, threshold))
            for image, grids in zip(
                detections, probabilities.split([len(image) for image in detections])
            )
        ]

    def pool(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """What the box head sees of RoIs (R, 5)."""
        regions = self.config.extractor.extract(features, self.strides, rois)
        return regions if self.shared_head is None else self.shared_head(regions)


def _target_boxes(regions: SampledRegions, targets: Targets) -> Tensor:
    """(R, 4) the box each region is trained on; its own where it has none."""
    if len(targets) == 0:
        return regions.boxes
    index = regions.target_index
    own = targets.boxes[index.clamp(min=0)]
    return torch.where((index >= 0)[:, None], own, regions.boxes)
