"""The RoI head of Dynamic R-CNN (https://arxiv.org/abs/2004.06002)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.heads.base import RoIHead, RoIHeadConfig, View
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.roi.base import RegionExtractor
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.regions import (
    LabelledRegions,
    SampledRegions,
    box_candidates,
    label_regions,
    num_regions,
    sampled_rois,
)
from detzoo.heads.roi.views import EVERY_SCORE, predict_averaged
from detzoo.losses.boxes import SmoothL1Loss, smooth_l1
from detzoo.ops.boxes import pairwise_iou
from detzoo.ops.distributed import average_over_processes
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import (
    BACKGROUND,
    Assignment,
    Candidates,
    Detections,
    ImageInfo,
    Losses,
    Targets,
)

# A smaller median error is none, and would make the loss jump.
SMALLEST_BETA = 1e-15


@config
class DynamicRoIHeadConfig(RoIHeadConfig):
    """One stage that asks for more as the proposals and its own boxes get better.

    A region is positive from ``first_iou`` on and the box loss is quadratic below the ``beta`` that
    it is configured with. After every ``update_interval`` steps these become the mean of the
    ``iou_rank``-th highest IoU in an image, at least ``min_iou``, and the median of the
    ``error_rank``-th smallest error per image, at most ``max_beta``.
    """

    extractor: RegionExtractor = RoIExtractor()
    box_head: BoxHeadConfig = BoxHeadConfig(box_loss=SmoothL1Loss())
    sampler: Sampler = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)
    first_iou: float = 0.5
    min_iou: float = 0.4
    max_beta: float = 1.0
    iou_rank: int = 75
    error_rank: int = 10
    update_interval: int = 100
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5), max_detections=100)

    def __post_init__(self) -> None:
        if type(self.box_head.box_loss) is not SmoothL1Loss:
            raise ConfigError(
                "box_head.box_loss: its beta changes in training, so it must be SmoothL1Loss"
            )
        for name in ("iou_rank", "error_rank", "update_interval"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not at least 1")
        if self.sampler.needs_losses:
            raise ConfigError(
                f"sampler: {type(self.sampler).__name__} draws regions by their loss, "
                "which this head does not offer"
            )

    @property
    def predicts_masks(self) -> bool:
        return False

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DynamicRoIHead:
        return DynamicRoIHead(self, in_channels, strides, num_classes)


class DynamicRoIHead(RoIHead):
    """Children ``bbox_roi_extractor`` and ``bbox_head``.

    What changes in training is in buffers, but published checkpoints have none of it: they are kept
    only for resuming. They stay tensors, so that no step waits for the device.
    """

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
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.bbox_roi_extractor = config.extractor.build(in_channels, strides)
        channels, size = self.bbox_roi_extractor.out_channels, config.extractor.output_size
        self.bbox_head = config.box_head.build(channels, size, num_classes)
        loss = config.box_head.box_loss
        assert isinstance(loss, SmoothL1Loss)
        self.loss_weight = loss.weight
        for name, value in (
            ("min_positive_iou", torch.tensor(config.first_iou)),
            ("beta", torch.tensor(loss.beta)),
            # Of the steps since the last change; NaN where a step has no positive region.
            ("ious", torch.zeros(config.update_interval)),
            ("errors", torch.zeros(config.update_interval)),
            ("steps", torch.tensor(0)),
        ):
            self.register_buffer(name, value, persistent=False)

    def class_parameters(self) -> dict[str, ClassRows]:
        return prefixed("bbox_head", self.bbox_head.class_parameters())

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        labelled = [self._label(own.boxes, target) for own, target in zip(proposals, targets)]
        sampler = self.config.sampler
        sampled = [one.drawn(sampler.sample(one.assignment)) for one in labelled]
        logits, deltas = self.bbox_head(self.bbox_roi_extractor(features, sampled_rois(sampled)))
        losses, errors = self._losses(logits, deltas, sampled, targets)
        self._adapt(labelled, errors)
        return losses

    @torch.no_grad()
    def _label(self, proposals: Tensor, targets: Targets) -> LabelledRegions:
        """Each proposal (P, 4) takes the target that it overlaps most, if enough."""
        index = torch.full((len(proposals),), BACKGROUND, device=proposals.device)
        iou = proposals.new_zeros(len(proposals))
        if len(targets):
            iou, best = pairwise_iou(targets.boxes, proposals).max(0)
            index = torch.where(iou >= self.min_positive_iou, best, BACKGROUND)
        adds_targets = self.config.sampler.adds_targets
        return label_regions(
            proposals, targets, Assignment(index, iou), self.num_classes, adds_targets=adds_targets
        )

    def _losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        sampled: Sequence[SampledRegions],
        targets: Sequence[Targets],
    ) -> tuple[Losses, Tensor]:
        """Losses, and how far each positive region's centre is off (P,), in the loss's units."""
        head = self.bbox_head
        regions = torch.cat([one.boxes for one in sampled])
        labels = torch.cat([one.labels for one in sampled])
        wanted_boxes = torch.cat([one.target_boxes(own) for one, own in zip(sampled, targets)])
        predicted, wanted = head.compared(deltas, regions, labels, wanted_boxes)
        count = num_regions(labels)
        box_loss = smooth_l1(predicted - wanted, self.beta).sum() / count
        losses = head.loss_cls.losses(logits.float(), labels, count)
        return losses | Losses(loss_bbox=self.loss_weight * box_loss), wanted[:, :2].abs().mean(1)

    @torch.no_grad()
    def _adapt(self, labelled: Sequence[LabelledRegions], errors: Tensor) -> None:
        """Notes this step's quality; after ``update_interval`` steps, what is asked for follows."""
        config = self.config
        ious = [_highest(image.assignment.iou, config.iou_rank) for image in labelled]
        error = -_highest(-errors, config.error_rank * len(labelled))
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

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        candidates = self.decode(features, proposals, infos, self.config.select.min_score)
        return [self.config.select(image) for image in candidates]

    def predict_views(
        self, views: Sequence[View], proposals: Sequence[Detections]
    ) -> list[Detections]:
        decode = partial(self.decode, min_score=EVERY_SCORE)
        return predict_averaged(views, proposals, decode, self.config.select, None)

    def decode(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
        min_score: float,
    ) -> list[Candidates]:
        """Boxes of each image that score enough, before suppression."""
        pooled = self.bbox_roi_extractor(features, rois_of([image.boxes for image in proposals]))
        logits, deltas = self.bbox_head(pooled)
        return box_candidates(self.bbox_head, logits, deltas, proposals, infos, min_score)


def _highest(values: Tensor, rank: int) -> Tensor:
    """The ``rank``-th highest of values (N,), or the lowest where there are fewer; of none, NaN."""
    if len(values) == 0:
        return values.new_tensor(float("nan"))
    return values.topk(min(rank, len(values))).values[-1]
