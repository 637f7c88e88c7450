"""Regions to train on, and what RoI heads do with those of a batch."""

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
    """Regions of one image drawn for training, positives first.

    ``boxes`` (R, 4); ``labels`` (R,), C for background; ``target_index`` (R,) counts for positives;
    ``is_target`` (R,) marks the targets' own boxes.
    """

    boxes: Tensor
    labels: Tensor
    target_index: Tensor
    is_target: Tensor

    @property
    def is_positive(self) -> Tensor:
        return self.target_index >= 0

    def target_boxes(self, targets: Targets) -> Tensor:
        """(R, 4) the box each region is trained on; its own where it has none."""
        if len(targets) == 0:
            return self.boxes
        own = targets.boxes[self.target_index.clamp(min=0)]
        return torch.where(self.is_positive[:, None], own, self.boxes)


@dataclass(frozen=True)
class LabeledRegions:
    """Regions of one image before sampling; the first ``num_targets`` are the targets' own boxes.

    ``boxes`` (P, 4); ``labels`` (P,), C where the region has no target.
    """

    boxes: Tensor
    labels: Tensor
    assignment: Assignment
    num_targets: int

    def sampled(self, sampling: Sampling) -> SampledRegions:
        """Those that the sampler has drawn."""
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
    """Assigned proposals (P, 4) with labels; before them with ``adds_targets`` the targets' own
    boxes."""
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
    """The regions of a batch as RoIs (R, 5)."""
    return rois_of([regions.boxes for regions in sampled])


def num_regions(labels: Tensor) -> Tensor:
    """What the losses of a batch's regions with ``labels`` (R,) are divided by: their number, at
    least one, as the mean of all processes."""
    return average_over_processes(labels.new_tensor(max(len(labels), 1)).float())


def positive_rois(sampled: Sequence[SampledRegions]) -> Tensor:
    """The positive regions of a batch as RoIs (R, 5)."""
    return rois_of([regions.boxes[regions.is_positive] for regions in sampled])


def mask_losses(
    head: RegionMaskHead,
    logits: Tensor,
    sampled: Sequence[SampledRegions],
    targets: Sequence[Targets],
) -> Losses:
    """Losses of the masks that ``head`` predicts for a batch's positive regions."""
    wanted = mask_targets(sampled, targets, logits.shape[-1])
    return head.loss(logits, positive_labels(sampled), wanted)


def regions_with_masks(
    sampled: Sequence[SampledRegions], targets: Sequence[Targets]
) -> list[SampledRegions]:
    """The regions as a mask head learns from them: not from objects whose masks nobody drew."""
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
    """What the masks of a batch's positive regions should be, (R, size, size) of 0 and 1."""
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
    """Detections of a batch with their grids (N, m, m), which come one image after the other."""
    grids = probabilities.split([len(image) for image in detections])
    return [
        Detections(image.boxes, image.scores, image.labels, RoIMasks(own, threshold))
        for image, own in zip(detections, grids)
    ]
