"""Queries that refine their boxes stage by stage (Sparse R-CNN, https://arxiv.org/abs/2011.12450),
and with masks (QueryInst, https://arxiv.org/abs/2105.01928)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.hungarian import FocalCost, HungarianAssigner, TargetTable
from detzoo.coders.delta import DeltaCoder
from detzoo.config import ConfigError, PositiveInt, config
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.query.base import best_pairs
from detzoo.heads.query.dynamic import DynamicMaskHeadConfig, InteractionHeadConfig
from detzoo.heads.query.set_loss import QueryPredictions, SetLoss
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MASK_CLASS_ROWS, mask_probabilities, own_masks
from detzoo.losses.classification import FocalLoss
from detzoo.losses.dice import DiceLoss
from detzoo.ops.boxes import clip_boxes
from detzoo.ops.distributed import average_over_processes
from detzoo.ops.roi_align import rois_of
from detzoo.structures import Detections, ImageInfo, Losses, RoIMasks, Targets


@config
class SparseRoIHeadConfig:
    """Refines boxes in stages.

    Each stage predicts, and is trained on, classes, boxes and, if there is a mask head, masks.

    Args:
        num_stages: Number of stages.
        extractor: Extracts region features for the boxes.
        box_head: Predicts classes and box deltas.
        coder: Decodes boxes from deltas.
        mask_extractor: Extracts region features for the masks; None: no masks.
        mask_head: Predicts masks; None: no masks.
        loss: Matches queries with targets, and computes the losses of classes and boxes.
        max_detections: Number of detections per image.
    """

    num_stages: PositiveInt = 6
    extractor: PyramidRoIAlignConfig = PyramidRoIAlignConfig(output_size=7, sampling_ratio=2)
    box_head: InteractionHeadConfig = InteractionHeadConfig()
    coder: DeltaCoder = DeltaCoder(stds=(0.5, 0.5, 1.0, 1.0))
    mask_extractor: PyramidRoIAlignConfig | None = PyramidRoIAlignConfig(
        output_size=14, sampling_ratio=2
    )
    mask_head: DynamicMaskHeadConfig | None = DynamicMaskHeadConfig()
    loss: SetLoss = SetLoss(
        assigner=HungarianAssigner(class_cost=FocalCost(weight=2.0), box_form="corners"),
        classification_loss=FocalLoss(weight=2.0),
    )
    max_detections: PositiveInt = 100

    def __post_init__(self) -> None:
        if (self.mask_head is None) != (self.mask_extractor is None):
            raise ConfigError("mask_extractor: give both mask_extractor and mask_head, or neither")

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> SparseRoIHead:
        """Builds the module for feature maps with ``in_channels`` and ``strides`` (in pixels)."""
        return SparseRoIHead(self, in_channels, strides, num_classes)


@dataclasses.dataclass(frozen=True)
class _Stages:
    """The predictions of all stages, and the queries (B, Q, C) of each for masks."""

    predictions: QueryPredictions
    mask_queries: list[Tensor]


class SparseRoIHead(nn.Module):
    """Children ``bbox_head`` and, with masks, ``mask_head``, one of each per stage."""

    def __init__(
        self,
        config: SparseRoIHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.config = config
        channels, region_size = in_channels[0], config.extractor.output_size
        outputs = config.loss.classification_loss.num_outputs(num_classes)
        stages = range(config.num_stages)
        self.bbox_roi_extractor = config.extractor.build(in_channels, strides)
        self.bbox_head = nn.ModuleList(
            config.box_head.build(channels, region_size, outputs) for _ in stages
        )
        if config.mask_extractor is not None and config.mask_head is not None:
            self.mask_roi_extractor = config.mask_extractor.build(in_channels, strides)
            self.mask_head = nn.ModuleList(
                config.mask_head.build(channels, num_classes) for _ in stages
            )

    def class_parameters(self) -> dict[str, ClassRows]:
        classes = ClassRows(shared=self.config.loss.classification_loss.num_outputs(0))
        rows: dict[str, ClassRows] = {}
        for stage in range(self.config.num_stages):
            rows |= {f"bbox_head.{stage}.fc_cls.{leaf}": classes for leaf in ("weight", "bias")}
            if self.config.mask_head is not None:
                rows |= prefixed(f"mask_head.{stage}", MASK_CLASS_ROWS)
        return rows

    def forward(self, features: Sequence[Tensor], boxes: Tensor, queries: Tensor) -> _Stages:
        """Proposed boxes (B, Q, 4) and their queries (B, Q, C) -> predictions of all stages."""
        logits, refined, mask_queries = [], [], []
        for head in self.bbox_head:
            regions = self.bbox_roi_extractor(features, rois_of(list(boxes)))
            stage_logits, deltas, queries, for_masks = head(queries, regions)
            # A stage trains only its own deltas, not those of the previous stage.
            moved = self.config.coder.decode(boxes, deltas.float())
            boxes = moved.detach()
            logits.append(stage_logits)
            refined.append(moved)
            mask_queries.append(for_masks)
        return _Stages(QueryPredictions(torch.stack(logits), torch.stack(refined)), mask_queries)

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        features: Sequence[Tensor],
        boxes: Tensor,
        queries: Tensor,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses of all stages: ``stage0_loss_cls`` and so on."""
        stages = self(features, boxes, queries)
        table = TargetTable.of(targets, infos)
        (index,) = self.config.loss.match([stages.predictions], [table])
        by_name = self.config.loss(stages.predictions, index, table)
        accuracy = _accuracy(stages.predictions.logits, index, table)
        losses = Losses()
        for stage in range(self.config.num_stages):
            own = Losses({name: values[stage] for name, values in by_name.items()})
            if self.config.mask_head is not None:
                own["loss_mask"] = self._mask_loss(
                    self.config.mask_head.loss,
                    stage,
                    features,
                    stages,
                    index[stage],
                    targets,
                    infos,
                )
            own.metrics["pos_acc"] = accuracy[stage]
            losses |= own.prefixed(f"stage{stage}_")
        return losses

    def _mask_loss(
        self,
        loss: DiceLoss,
        stage: int,
        features: Sequence[Tensor],
        stages: _Stages,
        index: Tensor,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Tensor:
        """The mask loss of one stage, for the queries whose target has a mask; ``index`` (B, Q) is
        negative for those without a target."""
        index = torch.stack([target.index_of_masks(own) for target, own in zip(targets, index)])
        rows = [
            # The number of matches is known in advance, so no synchronization is needed.
            one.topk(min(target.num_masks, len(one))).indices
            for one, target in zip((index >= 0).int(), targets)
        ]
        num_matched = sum(map(len, rows))
        if num_matched == 0:
            # A region of weight zero, so that all parameters get gradients, and norms have an
            # input.
            rows[0] = index.new_zeros(1)
        chosen = [boxes[row].detach() for boxes, row in zip(stages.predictions.boxes[stage], rows)]
        queries = torch.cat([q[row] for q, row in zip(stages.mask_queries[stage], rows)])
        logits = self.mask_head[stage](queries, self.mask_roi_extractor(features, rois_of(chosen)))
        labels, wanted = [], []
        for row, boxes, own, target, info in zip(rows, chosen, index, targets, infos):
            assert target.masks is not None, "a mask head trains on targets with masks"
            number = own[row]
            if target.num_masks == 0:
                labels.append(torch.zeros_like(number))
                wanted.append(boxes.new_zeros((len(row), *logits.shape[2:])))
                continue
            labels.append(target.labels[number])
            inside = clip_boxes(boxes, info.padded_size)
            wanted.append(target.masks.crop_and_resize(inside, number, logits.shape[3]))
        own_logits = own_masks(logits, torch.cat(labels)).float()
        per_mask = loss.weighted(own_logits.sigmoid(), torch.cat(wanted))
        total = (per_mask * float(num_matched > 0)).sum()
        count = torch.full((), float(num_matched), device=total.device)
        return total / average_over_processes(count).clamp(min=1)

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        boxes: Tensor,
        queries: Tensor,
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """Returns the pairs of query and class with the highest scores, with RoI masks. Boxes may
        exceed the image.
        """
        stages = self(features, boxes, queries)
        boxes = stages.predictions.boxes[-1]
        scores = self.config.loss.classification_loss.scores(stages.predictions.logits[-1].float())
        chosen = [best_pairs(own, self.config.max_detections) for own in scores]
        detections = [
            Detections(own[query], best, labels)
            for own, (query, best, labels) in zip(boxes, chosen)
        ]
        if self.config.mask_head is None:
            return detections
        regions = self.mask_roi_extractor(features, rois_of(list(boxes)))
        logits = self.mask_head[-1](stages.mask_queries[-1].flatten(0, 1), regions)
        threshold = self.config.mask_head.threshold
        return [
            dataclasses.replace(
                found, masks=RoIMasks(mask_probabilities(own[query], found.labels), threshold)
            )
            for found, own, (query, _, _) in zip(detections, logits.chunk(len(boxes)), chosen)
        ]


def _accuracy(logits: Tensor, index: Tensor, table: TargetTable) -> Tensor:
    """The percentage (S,) of matched queries whose best class is their target's."""
    matched = index >= 0
    labels, _ = table.rows(index.clamp(min=0))
    right = (logits.argmax(-1) == labels) & matched
    return 100 * right.sum((1, 2)) / matched.sum((1, 2)).clamp(min=1)
