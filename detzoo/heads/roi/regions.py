"""Sampled regions of RoI heads, and helpers for those of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detzoo.heads.roi.base import RegionMaskHead
from detzoo.ops.distributed import average_over_processes
from detzoo.ops.roi_align import rois_of
from detzoo.samplers.base import Sampling
from detzoo.structures import (
    Assignment,
    Detections,
    Losses,
    RoIMasks,
    Targets,
)


@dataclass(frozen=True)
class SampledRegions:
    """Regions of one image sampled for training, positives first.

    ``boxes`` (R, 4); ``labels`` (R,), C for background; ``target_index`` (R,) is valid for
    positives; ``is_target`` (R,) marks ground-truth boxes added as proposals.
    """

    boxes: Tensor
    labels: Tensor
    target_index: Tensor
    is_target: Tensor

    @property
    def is_positive(self) -> Tensor:
        return self.target_index >= 0

    def target_boxes(self, targets: Targets) -> Tensor:
        """The target box (R, 4) of each region; its own box if it has no target."""
        if len(targets) == 0:
            return self.boxes
        own = targets.boxes[self.target_index.clamp(min=0)]
        return torch.where(self.is_positive[:, None], own, self.boxes)


@dataclass(frozen=True)
class LabeledRegions:
    """Regions of one image before sampling; the first ``num_targets`` are ground-truth boxes.

    ``boxes`` (P, 4); ``labels`` (P,), C for regions without a target.
    """

    boxes: Tensor
    labels: Tensor
    assignment: Assignment
    num_targets: int

    def sampled(self, sampling: Sampling) -> SampledRegions:
        """Returns the sampled regions."""
        index = torch.cat(
            [sampling.is_positive.nonzero()[:, 0], sampling.is_negative.nonzero()[:, 0]]
        )
        target_index = self.assignment.target_index[index]
        is_target = index < self.num_targets
        return SampledRegions(self.boxes[index], self.labels[index], target_index, is_target)


def label_regions(
    proposals: Tensor,
    targets: Targets,
    assignment: Assignment,
    num_classes: int,
    *,
    adds_targets: bool,
) -> LabeledRegions:
    """Labels assigned proposals (P, 4), and prepends the ground-truth boxes if ``adds_targets``."""
    boxes, num_targets = proposals, 0
    if adds_targets:
        num_targets = len(targets)
        own = torch.arange(num_targets, device=boxes.device)
        boxes = torch.cat([targets.boxes, proposals])
        assignment = Assignment(
            torch.cat([own, assignment.target_index]),
            torch.cat([torch.ones_like(own, dtype=torch.float32), assignment.iou]),
        )
    labels = torch.full((len(boxes),), num_classes, device=boxes.device)
    if len(targets):
        own_label = targets.labels[assignment.target_index.clamp(min=0)]
        labels = torch.where(assignment.is_positive, own_label, labels)
    return LabeledRegions(boxes, labels, assignment, num_targets)


def sampled_rois(sampled: Sequence[SampledRegions]) -> Tensor:
    """Converts the regions of a batch to RoIs (R, 5)."""
    return rois_of([regions.boxes for regions in sampled])


def num_regions(labels: Tensor) -> Tensor:
    """The divisor of the losses of a batch's regions with ``labels`` (R,): their number, at least
    one, averaged over all processes.
    """
    return average_over_processes(labels.new_full((), max(len(labels), 1)).float())


def positive_rois(sampled: Sequence[SampledRegions]) -> Tensor:
    """Converts the positive regions of a batch to RoIs (R, 5)."""
    return rois_of([regions.boxes[regions.is_positive] for regions in sampled])


def mask_losses(
    head: RegionMaskHead,
    logits: Tensor,
    sampled: Sequence[SampledRegions],
    targets: Sequence[Targets],
) -> Losses:
    """Computes the losses of the masks that ``head`` predicts for a batch's positive regions."""
    wanted = mask_targets(sampled, targets, logits.shape[-1])
    return head.loss(logits, positive_labels(sampled), wanted)


def regions_with_masks(
    sampled: Sequence[SampledRegions], targets: Sequence[Targets]
) -> list[SampledRegions]:
    """Removes positive regions of objects without an annotated mask, for training mask heads."""
    return [
        replace(regions, target_index=target.index_of_masks(regions.target_index))
        for regions, target in zip(sampled, targets)
    ]


def positive_labels(sampled: Sequence[SampledRegions]) -> Tensor:
    """The labels of a batch's positive regions, (R,)."""
    return torch.cat([regions.labels[regions.is_positive] for regions in sampled])


def mask_targets(
    sampled: Sequence[SampledRegions], targets: Sequence[Targets], size: int
) -> Tensor:
    """The target masks of a batch's positive regions, (R, size, size) of 0 and 1."""
    wanted = []
    for regions, target in zip(sampled, targets):
        assert target.masks is not None, "a mask head trains on targets with masks"
        boxes = regions.boxes[regions.is_positive]
        index = regions.target_index[regions.is_positive]
        wanted.append(target.masks.crop_and_resize(boxes, index, size))
    return torch.cat(wanted)


def with_masks(
    detections: Sequence[Detections], probabilities: Tensor, threshold: float
) -> list[Detections]:
    """Adds mask grids (N, m, m), concatenated over the images, to the detections of a batch."""
    grids = probabilities.split([len(image) for image in detections])
    return [
        Detections(image.boxes, image.scores, image.labels, RoIMasks(own, threshold))
        for image, own in zip(detections, grids)
    ]
