"""Losses of predictions matched one-to-one with targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.hungarian import HungarianAssigner, TargetTable, solve
from detzoo.config import NonNegativeFloat, config
from detzoo.losses.boxes import BoxLoss, GIoULoss, L1Loss
from detzoo.losses.classification import ClassificationLoss
from detzoo.ops.distributed import average_over_processes


@dataclass(frozen=True)
class QueryPredictions:
    """The predictions of S successive stages for each of Q queries.

    ``logits`` (S, B, Q, K); ``boxes`` (S, B, Q, 4), xyxy in input pixels. ``proposals`` are the
    predictions for every cell of the pyramid, if queries are selected from them.
    """

    logits: Tensor
    boxes: Tensor
    proposals: QueryPredictions | None = None


@config
class SetLoss:
    """Trains matched queries on their targets, and all other queries as background.

    Args:
        assigner: Matches queries with targets.
        classification_loss: Loss of the classes.
        background_weight: Weight of background queries; classification losses are then averaged
            over the sum of weights. None: all have weight 1, and losses are averaged over the
            targets.
        box_loss: Loss of the boxes in normalized coordinates.
        iou_loss: IoU-based loss of the boxes.
    """

    assigner: HungarianAssigner
    classification_loss: ClassificationLoss
    background_weight: NonNegativeFloat | None = None
    box_loss: BoxLoss = L1Loss(weight=5.0)
    iou_loss: BoxLoss = GIoULoss(weight=2.0)

    def match(
        self, predictions: Sequence[QueryPredictions], tables: Sequence[TargetTable]
    ) -> list[Tensor]:
        """Returns the target index (S, B, Q) of each prediction."""
        costs = [
            self.assigner.cost(one.logits, one.boxes, table)
            for one, table in zip(predictions, tables)
        ]
        return solve(costs, tables[0].counts)

    def __call__(
        self, predictions: QueryPredictions, index: Tensor, table: TargetTable
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox`` and ``loss_iou`` of each stage, (S,), for a matching."""
        logits, boxes = predictions.logits.float(), predictions.boxes.float()
        num_queries, num_outputs = logits.shape[2], logits.shape[3]
        matched = index >= 0
        labels, wanted = table.rows(index.clamp(min=0))
        background = num_outputs - self.classification_loss.num_outputs(0)
        labels = torch.where(matched, labels, background)
        # The number of matched queries per stage does not depend on the matching.
        num_matched = sum(min(count, num_queries) for count in table.counts)
        num_objects = averaged(num_matched, logits).clamp(min=1)
        distance = self.box_loss.weighted(
            self.assigner.relative(boxes, table.scale), self.assigner.relative(wanted, table.scale)
        )
        overlap = self.iou_loss.weighted(boxes, wanted)
        return {
            "loss_cls": classification_losses(
                self.classification_loss, logits, labels, num_matched, self.background_weight
            ),
            "loss_bbox": (distance * matched).sum((1, 2)) / num_objects,
            "loss_iou": (overlap * matched).sum((1, 2)) / num_objects,
        }


def classification_losses(
    loss: ClassificationLoss,
    logits: Tensor,
    labels: Tensor,
    num_matched: int,
    background_weight: float | None,
) -> Tensor:
    """The classification loss (S,) of each stage: logits (S, B, Q, K), labels (S, B, Q) of which
    ``num_matched`` per stage are no background.

    With a ``background_weight``, averaged over the sum of weights; without, over the matched.
    """
    stages = len(logits)
    per_query = loss.weighted(logits.flatten(0, 2), labels.flatten()).view(stages, -1)
    if background_weight is None:
        return per_query.sum(1) / averaged(num_matched, logits).clamp(min=1)
    background = logits.shape[3] - loss.num_outputs(0)
    weights = torch.where(labels == background, background_weight, 1.0).flatten(1)
    others = labels[0].numel() - num_matched
    total = averaged(num_matched + background_weight * others, logits)
    return (per_query * weights).sum(1) / total.clamp(min=1)


def averaged(number: float, like: Tensor) -> Tensor:
    """A number on the device of ``like``, averaged over all processes."""
    return average_over_processes(torch.full((), float(number), device=like.device))
