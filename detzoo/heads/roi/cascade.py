"""The RoI head of Cascade R-CNN (https://arxiv.org/abs/1712.00726)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from detzoo.assigners.base import Assigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import ConfigError, config
from detzoo.heads.base import RoIHead, RoIHeadConfig, View
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.roi.base import (
    RegionBoxHead,
    RegionBoxHeadConfig,
    RegionExtractor,
    RegionMaskHead,
    RegionPooling,
)
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.mask_head import MaskHead, MaskHeadConfig, mask_probabilities
from detzoo.heads.roi.regions import (
    SampledRegions,
    box_losses,
    draw_regions,
    mask_losses,
    positive_rois,
    regions_with_masks,
    sampled_rois,
    with_masks,
)
from detzoo.heads.roi.views import EVERY_SCORE, predict_averaged
from detzoo.layers.module_list import ModuleList
from detzoo.ops.roi_align import rois_of
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Candidates, Detections, ImageInfo, Targets


@config
class CascadeStage:
    """One of the stages; each trains on the boxes that the one before has refined."""

    box_head: RegionBoxHeadConfig
    assigner: Assigner = MaxIoUAssigner(
        positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5, match_low_quality=False
    )
    sampler: Sampler = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.sampler.needs_losses:
            raise ConfigError(
                f"sampler: {type(self.sampler).__name__} draws regions by their loss, "
                "which only a head with a single stage offers"
            )


@config
class CascadeRoIHeadConfig(RoIHeadConfig):
    """Stages of box refinement, each with a mask head of its own where there is a ``mask_head``."""

    stages: tuple[CascadeStage, ...]
    extractor: RegionExtractor = RoIExtractor()
    mask_extractor: RegionExtractor | None = None
    mask_head: MaskHeadConfig | None = None
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5), max_detections=100)

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("stages: there must be at least one")
        if (self.mask_head is None) != (self.mask_extractor is None):
            raise ConfigError("mask_extractor: goes with a mask_head; give both or neither")

    @property
    def predicts_masks(self) -> bool:
        return self.mask_head is not None

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> CascadeRoIHead:
        return CascadeRoIHead(self, in_channels, strides, num_classes)


class CascadeRoIHead(RoIHead):
    """Children ``bbox_roi_extractor``, ``bbox_head``, ``mask_roi_extractor``, ``mask_head``, lists
    with one entry per stage."""

    def __init__(
        self,
        config: CascadeRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.bbox_roi_extractor = ModuleList[RegionPooling](
            config.extractor.build(in_channels, strides) for _ in config.stages
        )
        channels, size = self.bbox_roi_extractor[0].out_channels, config.extractor.output_size
        self.bbox_head = ModuleList[RegionBoxHead](
            stage.box_head.build(channels, size, num_classes) for stage in config.stages
        )
        self.mask_roi_extractor = ModuleList[RegionPooling]()
        self.mask_head = ModuleList[MaskHead]()
        if config.mask_head is not None and config.mask_extractor is not None:
            for _ in config.stages:
                extractor = config.mask_extractor.build(in_channels, strides)
                self.mask_roi_extractor.append(extractor)
                self.mask_head.append(config.mask_head.build(extractor.out_channels, num_classes))

    def class_parameters(self) -> dict[str, ClassRows]:
        return stage_class_parameters(self.bbox_head, self.mask_head)

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        boxes = [image.boxes for image in proposals]
        for number, stage in enumerate(self.config.stages):
            head = self.bbox_head[number]
            sampled = draw_regions(boxes, targets, stage.assigner, stage.sampler, self.num_classes)
            logits, deltas = head(self.pool(features, number, sampled_rois(sampled)))
            own = box_losses(head, logits, deltas, sampled, targets)
            if self.mask_head:
                mask_head = self.mask_head[number]
                masked = regions_with_masks(sampled, targets)
                pooled = self.mask_roi_extractor[number](features, positive_rois(masked))
                own |= mask_losses(mask_head, mask_head(pooled), masked, targets)
            losses |= stage_losses(number, own, stage.loss_weight)
            boxes = refined_boxes(head, logits, deltas, sampled, infos)
        return losses

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """With RoI masks where there are mask heads."""
        candidates = self.decode(features, proposals, infos, self.config.select.min_score)
        detections = [self.config.select(image) for image in candidates]
        return self.add_masks(features, detections) if self.mask_head else detections

    def predict_views(
        self, views: Sequence[View], proposals: Sequence[Detections]
    ) -> list[Detections]:
        decode = partial(self.decode, min_score=EVERY_SCORE)
        add_masks = self.add_masks if self.mask_head else None
        return predict_averaged(views, proposals, decode, self.config.select, add_masks)

    def decode(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Detections],
        infos: Sequence[ImageInfo],
        min_score: float,
    ) -> list[Candidates]:
        """Boxes of each image that score enough, before suppression."""

        def pool(number: int, rois: Tensor) -> Tensor:
            return self.pool(features, number, rois)

        return cascade_candidates(self.bbox_head, pool, proposals, infos, min_score)

    def add_masks(
        self, features: Sequence[Tensor], detections: Sequence[Detections]
    ) -> list[Detections]:
        """The same detections, with masks inside their boxes: the mean of those of all stages."""
        assert self.config.mask_head is not None
        rois = rois_of([image.boxes for image in detections])
        labels = torch.cat([image.labels for image in detections])
        probabilities = [
            mask_probabilities(head(extractor(features, rois)), labels)
            for head, extractor in zip(self.mask_head, self.mask_roi_extractor)
        ]
        mean = torch.stack(probabilities).mean(0)
        return with_masks(detections, mean, self.config.mask_head.threshold)

    def pool(self, features: Sequence[Tensor], number: int, rois: Tensor) -> Tensor:
        """What the box head of a stage sees of RoIs (R, 5)."""
        return self.bbox_roi_extractor[number](features, rois)


# ------------------------------------------------------------------------- what cascades share


def stage_class_parameters(
    box_heads: Iterable[RegionBoxHead], mask_heads: Iterable[RegionMaskHead]
) -> dict[str, ClassRows]:
    """``class_parameters`` of the lists ``bbox_head`` and ``mask_head``."""
    rows: dict[str, ClassRows] = {}
    for number, head in enumerate(box_heads):
        rows |= prefixed(f"bbox_head.{number}", head.class_parameters())
    for number, mask_head in enumerate(mask_heads):
        rows |= prefixed(f"mask_head.{number}", mask_head.class_parameters())
    return rows


def stage_losses(number: int, losses: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
    """Losses and metrics of stage ``number`` by their names in a cascade, the losses weighted."""
    return {
        f"s{number}.{name}": weight * value if "loss" in name else value
        for name, value in losses.items()
    }


@torch.no_grad()
def refined_boxes(
    head: RegionBoxHead,
    logits: Tensor,
    deltas: Tensor,
    sampled: Sequence[SampledRegions],
    infos: Sequence[ImageInfo],
) -> list[Tensor]:
    """What the next stage takes for proposals: the regions of this one, refined.

    The targets' own boxes are left out: each stage adds them itself.
    """
    counts = [len(regions.boxes) for regions in sampled]
    boxes = []
    for own_logits, own_deltas, regions, info in zip(
        logits.split(counts), deltas.split(counts), sampled, infos
    ):
        refined = head.refine(own_logits, own_deltas, regions.boxes, regions.labels, info)
        boxes.append(refined[~regions.is_target])
    return boxes


def cascade_candidates(
    heads: ModuleList[RegionBoxHead],
    pool: Callable[[int, Tensor], Tensor],
    proposals: Sequence[Detections],
    infos: Sequence[ImageInfo],
    min_score: float,
) -> list[Candidates]:
    """The last stage's boxes, with scores from the mean of all stages' logits.

    ``pool(number, rois)`` is what the box head of stage ``number`` sees of RoIs (R, 5).
    """
    boxes = [image.boxes for image in proposals]
    counts = [len(image) for image in boxes]
    logits, deltas = heads[0](pool(0, rois_of(boxes)))
    total = logits
    for number in range(1, len(heads)):
        columns = zip(logits.split(counts), deltas.split(counts), boxes, infos)
        boxes = [heads[number - 1].refine(a, b, own, None, info) for a, b, own, info in columns]
        logits, deltas = heads[number](pool(number, rois_of(boxes)))
        total = total + logits
    mean = total / len(heads)
    columns = zip(mean.split(counts), deltas.split(counts), boxes, infos)
    return [heads[-1].decode(a, b, own, info, min_score) for a, b, own, info in columns]
