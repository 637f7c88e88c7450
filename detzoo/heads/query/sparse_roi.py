"""QueryInst's RoI head: queries that refine their boxes stage by stage
(https://arxiv.org/abs/2105.01928)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.hungarian import FocalCost, HungarianAssigner, TargetTable
from detzoo.coders.delta import DeltaCoder
from detzoo.config import PositiveInt, config
from detzoo.heads.class_rows import ClassRows, prefixed
from detzoo.heads.query.base import best_pairs
from detzoo.heads.query.dynamic import DynamicMaskHeadConfig, InteractionHeadConfig
from detzoo.heads.query.set_loss import QueryPredictions, SetLoss
from detzoo.heads.roi.extractor import RoIExtractor
from detzoo.heads.roi.mask_head import MASK_CLASS_ROWS, mask_probabilities, own_masks
from detzoo.losses.classification import FocalLoss
from detzoo.ops.boxes import clip_boxes
from detzoo.ops.distributed import average_over_processes
from detzoo.ops.roi_align import rois_of
from detzoo.structures import Detections, ImageInfo, RoIMasks, Targets


@config
class SparseRoIHeadConfig:
    """Refines boxes in stages, each of which predicts, and is trained on, classes, boxes and masks.

    Args:
        num_stages: Number of stages.
        extractor: Extracts region features for the boxes.
        box_head: Predicts classes and box deltas.
        coder: Decodes boxes from deltas.
        mask_extractor: Extracts region features for the masks.
        mask_head: Predicts masks.
        loss: Matches queries with targets, and computes the losses of classes and boxes.
        max_detections: Number of detections per image.
    """

    num_stages: PositiveInt = 6
    extractor: RoIExtractor = RoIExtractor(output_size=7, sampling_ratio=2)
    box_head: InteractionHeadConfig = InteractionHeadConfig()
    coder: DeltaCoder = DeltaCoder(stds=(0.5, 0.5, 1.0, 1.0))
    mask_extractor: RoIExtractor = RoIExtractor(output_size=14, sampling_ratio=2)
    mask_head: DynamicMaskHeadConfig = DynamicMaskHeadConfig()
    loss: SetLoss = SetLoss(
        assigner=HungarianAssigner(class_cost=FocalCost(weight=2.0), box_form="corners"),
        classification_loss=FocalLoss(weight=2.0),
    )
    max_detections: PositiveInt = 100

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
    """Children ``bbox_head`` and ``mask_head``, with one head per stage."""

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
        self.mask_roi_extractor = config.mask_extractor.build(in_channels, strides)
        self.mask_head = nn.ModuleList(
            config.mask_head.build(channels, num_classes) for _ in stages
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        classes = ClassRows(shared=self.config.loss.classification_loss.num_outputs(0))
        rows: dict[str, ClassRows] = {}
        for stage in range(self.config.num_stages):
            rows |= {f"bbox_head.{stage}.fc_cls.{leaf}": classes for leaf in ("weight", "bias")}
            rows |= prefixed(f"mask_head.{stage}", MASK_CLASS_ROWS)
        return rows

    def forward(self, features: Sequence[Tensor], boxes: Tensor, queries: Tensor) -> _Stages:
        """Proposed boxes (B, Q, 4) and their queries (B, Q, C) -> predictions of all stages."""
        logits, refined, mask_queries = [], [], []
        for head in self.bbox_head:
            regions = self.bbox_roi_extractor(features, rois_of(list(boxes)))
            stage_logits, deltas, queries, for_masks = head(queries, regions)
            # A stage trains its own deltas only, not those of the stage before.
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
    ) -> dict[str, Tensor]:
        """The losses of all stages: ``stage0_loss_cls`` and so on."""
        stages = self(features, boxes, queries)
        table = TargetTable.of(targets, infos)
        (index,) = self.config.loss.match([stages.predictions], [table])
        by_name = self.config.loss(stages.predictions, index, table)
        by_name["pos_acc"] = _accuracy(stages.predictions.logits, index, table)
        losses: dict[str, Tensor] = {}
        for stage in range(self.config.num_stages):
            losses |= {f"stage{stage}_{name}": values[stage] for name, values in by_name.items()}
            losses[f"stage{stage}_loss_mask"] = self._mask_loss(
                stage, features, stages, index[stage], targets, infos
            )
        return losses

    def _mask_loss(
        self,
        stage: int,
        features: Sequence[Tensor],
        stages: _Stages,
        index: Tensor,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Tensor:
        """The mask loss of one stage, for the queries whose target ``index`` (B, Q) is not
        negative."""
        rows = [
            # The number of matches is known beforehand, so that the host need not wait.
            one.topk(min(len(target), len(one))).indices
            for one, target in zip((index >= 0).int(), targets)
        ]
        num_matched = sum(map(len, rows))
        if num_matched == 0:
            # A region of weight zero, so that all parameters get gradients and norms an example.
            rows[0] = index.new_zeros(1)
        chosen = [boxes[row].detach() for boxes, row in zip(stages.predictions.boxes[stage], rows)]
        queries = torch.cat([q[row] for q, row in zip(stages.mask_queries[stage], rows)])
        logits = self.mask_head[stage](queries, self.mask_roi_extractor(features, rois_of(chosen)))
        labels, wanted = [], []
        for row, boxes, own, target, info in zip(rows, chosen, index, targets, infos):
            assert target.masks is not None, "a mask head trains on targets with masks"
            number = own[row]
            if len(target) == 0:
                labels.append(torch.zeros_like(number))
                wanted.append(boxes.new_zeros((len(row), *logits.shape[2:])))
                continue
            labels.append(target.labels[number])
            inside = clip_boxes(boxes, info.padded_size)
            wanted.append(target.masks.crop_and_resize(inside, number, logits.shape[3]))
        own_logits = own_masks(logits, torch.cat(labels)).float()
        loss = self.config.mask_head.loss
        per_mask = loss.per_mask(own_logits.sigmoid(), torch.cat(wanted))
        total = (per_mask * float(num_matched > 0)).sum()
        count = torch.full((), float(num_matched), device=total.device)
        return loss.weight * total / average_over_processes(count).clamp(min=1)

    # ----------------------------------------------------------------------------- inference

    def predict(
        self,
        features: Sequence[Tensor],
        boxes: Tensor,
        queries: Tensor,
        infos: Sequence[ImageInfo],
    ) -> list[Detections]:
        """The pairs of query and class with the highest scores, with RoI masks. Boxes may exceed
        the image."""
        stages = self(features, boxes, queries)
        boxes = stages.predictions.boxes[-1]
        regions = self.mask_roi_extractor(features, rois_of(list(boxes)))
        masks = self.mask_head[-1](stages.mask_queries[-1].flatten(0, 1), regions)
        scores = self.config.loss.classification_loss.scores(stages.predictions.logits[-1].float())
        detections = []
        for own_boxes, own_scores, own_logits in zip(boxes, scores, masks.chunk(len(boxes))):
            query, best, labels = best_pairs(own_scores, self.config.max_detections)
            probabilities = mask_probabilities(own_logits[query], labels)
            roi_masks = RoIMasks(probabilities, self.config.mask_head.threshold)
            detections.append(Detections(own_boxes[query], best, labels, roi_masks))
        return detections


def _accuracy(logits: Tensor, index: Tensor, table: TargetTable) -> Tensor:
    """(S,) the percentage of matched queries whose best class is their target's."""
    matched = index >= 0
    labels, _ = table.rows(index.clamp(min=0))
    right = (logits.argmax(-1) == labels) & matched
    return 100 * right.sum((1, 2)) / matched.sum((1, 2)).clamp(min=1)
