"""The RoI head of Dynamic R-CNN (https://arxiv.org/abs/2004.06002)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import ConfigError, PositiveFloat, PositiveInt, UnitFloat, config
from detzoo.heads.roi.box_head import BoxHead, BoxHeadConfig
from detzoo.heads.roi.regions import LabeledRegions, num_regions
from detzoo.heads.roi.single_stage import OneStageRoIHead
from detzoo.heads.roi.staged import CascadeStage, StagedRoIHeadConfig, StageRegions
from detzoo.losses.boxes import SmoothL1Loss, smooth_l1
from detzoo.ops.boxes import pairwise_iou
from detzoo.ops.distributed import average_over_processes
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import BACKGROUND, Assignment, Losses, Targets

# Smaller median errors do not update ``beta``, since they would make the loss unstable.
SMALLEST_BETA = 1e-15


@config
class DynamicRoIHeadConfig(StagedRoIHeadConfig):
    """One stage whose IoU threshold and box loss adapt to the quality of proposals and boxes.

    The IoU threshold of positive regions becomes the mean of the ``iou_rank``-th highest IoU in an
    image, and the ``beta`` of the box loss the median of the ``error_rank``-th smallest error per
    image.

    Args:
        box_head: Classifies regions and refines their boxes; specifies the initial ``beta``.
        sampler: Samples the regions that are trained on.
        first_iou: Initial IoU threshold of positive regions.
        min_iou: Minimum IoU threshold of positive regions.
        max_beta: Maximum ``beta`` of the box loss.
        iou_rank: Rank of the IoU, in descending order, that measures the quality of an image's
            proposals.
        error_rank: Rank of the error, in ascending order and per image, that measures the quality
            of a batch's boxes.
        update_interval: Number of steps between updates.
    """

    box_head: BoxHeadConfig = BoxHeadConfig(box_loss=SmoothL1Loss())
    sampler: Sampler = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)
    first_iou: UnitFloat = 0.5
    min_iou: UnitFloat = 0.4
    max_beta: PositiveFloat = 1.0
    iou_rank: PositiveInt = 75
    error_rank: PositiveInt = 10
    update_interval: PositiveInt = 100

    def __post_init__(self) -> None:
        if type(self.box_head.box_loss) is not SmoothL1Loss:
            raise ConfigError(
                "box_head.box_loss: its beta changes in training, so it must be SmoothL1Loss"
            )

    @property
    def stage(self) -> CascadeStage:
        """The only stage, in its initial state."""
        assigner = MaxIoUAssigner(
            positive_iou=self.first_iou, negative_iou=self.first_iou, match_low_quality=False
        )
        return CascadeStage(box_head=self.box_head, assigner=assigner, sampler=self.sampler)

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DynamicRoIHead:
        return DynamicRoIHead(self, in_channels, strides, num_classes)


class DynamicRoIHead(OneStageRoIHead):
    """The adaptive values are non-persistent buffers, since published checkpoints do not contain
    them; they are saved only for resuming. As tensors, they require no synchronization with the
    device.
    """

    config: DynamicRoIHeadConfig
    bbox_head: BoxHead
    min_positive_iou: Tensor
    beta: Tensor
    ious: Tensor
    errors: Tensor
    steps: Tensor

    def __init__(
        self,
        config: DynamicRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, config.stage, in_channels, strides, num_classes)
        loss = config.box_head.box_loss
        assert isinstance(loss, SmoothL1Loss)
        self.loss_weight = loss.weight
        for name, value in (
            ("min_positive_iou", torch.tensor(config.first_iou)),
            ("beta", torch.tensor(loss.beta)),
            # Values of the steps since the last update; NaN for steps without a positive region.
            ("ious", torch.zeros(config.update_interval)),
            ("errors", torch.zeros(config.update_interval)),
            ("steps", torch.tensor(0)),
        ):
            self.register_buffer(name, value, persistent=False)

    def assign(self, number: int, boxes: Tensor, targets: Targets) -> Assignment:
        """Assigns to each box the target with the highest IoU above the current threshold."""
        if len(targets) == 0:
            return super().assign(number, boxes, targets)
        iou, best = pairwise_iou(targets.boxes, boxes).max(0)
        return Assignment(torch.where(iou >= self.min_positive_iou, best, BACKGROUND), iou)

    def box_losses(self, number: int, regions: StageRegions, targets: Sequence[Targets]) -> Losses:
        """Computes losses with the current ``beta``, then updates IoU threshold and ``beta``."""
        head = self.bbox_head
        boxes, labels, target_boxes = regions.examples(targets)
        predicted, wanted = head.compared(regions.deltas, boxes, labels, target_boxes)
        count = num_regions(labels)
        box_loss = smooth_l1(predicted - wanted, self.beta).sum() / count
        losses = head.loss_cls.losses(regions.logits.float(), labels, count)
        # Center error of each positive region (P,), in the units of the loss.
        self._adapt(regions.labeled, wanted[:, :2].abs().mean(1))
        return losses | Losses(loss_bbox=self.loss_weight * box_loss)

    @torch.no_grad()
    def _adapt(self, labeled: Sequence[LabeledRegions], errors: Tensor) -> None:
        """Records a step; every ``update_interval`` steps, updates IoU threshold and ``beta``."""
        config = self.config
        ious = [_highest(image.assignment.iou, config.iou_rank) for image in labeled]
        error = -_highest(-errors, config.error_rank * len(labeled))
        slot = self.steps % config.update_interval
        self.ious[slot] = average_over_processes(torch.stack(ious).mean())
        self.errors[slot] = average_over_processes(error)
        self.steps += 1
        is_due = self.steps % config.update_interval == 0
        iou = self.ious.mean().clamp(min=config.min_iou)
        median = self.errors.nanquantile(0.5)
        is_right = is_due & (median >= SMALLEST_BETA)
        self.min_positive_iou.copy_(torch.where(is_due, iou, self.min_positive_iou))
        self.beta.copy_(torch.where(is_right, median.clamp(max=config.max_beta), self.beta))


def _highest(values: Tensor, rank: int) -> Tensor:
    """The ``rank``-th highest of values (N,), or the lowest if there are fewer; NaN if there are
    none.
    """
    if len(values) == 0:
        return values.new_full((), float("nan"))
    return values.topk(min(rank, len(values))).values[-1]
