"""The common parts of set prediction heads (DETR, https://arxiv.org/abs/2005.12872)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.hungarian import TargetTable, image_scale
from detzoo.config import PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.query.set_loss import QueryPredictions, SetLoss
from detzoo.layers.positional_encoding import LearnedPositions, SinePositions
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import Detections, ImageBatch, ImageInfo, Losses, Targets


@config
class QueryHeadConfig(ABC):
    """A fixed number of queries, each of which detects one object or none.

    Args:
        num_queries: Number of queries.
        positions: Positional encoding of the cells.
        loss: Matches queries with targets, and computes the losses.
        max_detections: Number of detections per image.
    """

    num_queries: PositiveInt
    positions: SinePositions | LearnedPositions = SinePositions()
    loss: SetLoss
    max_detections: PositiveInt = 100

    @abstractmethod
    def build(self, in_channels: Sequence[int], num_classes: int) -> QueryHead:
        """Builds the module for feature maps of ``in_channels``."""


class QueryHead(nn.Module, ABC):
    """Turns feature maps and the images' padding into predictions of every decoder layer."""

    def __init__(self, config: QueryHeadConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_outputs = config.loss.classification_loss.num_outputs(num_classes)

    @abstractmethod
    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters and buffers whose size depends on the number of classes, by name."""

    @abstractmethod
    def forward(self, features: Sequence[Tensor], images: ImageBatch) -> QueryPredictions: ...

    @abstractmethod
    def detect(self, predictions: QueryPredictions, infos: Sequence[ImageInfo]) -> list[Detections]:
        """Returns the detections of each image from the predictions of the last layer."""

    def loss(
        self,
        predictions: QueryPredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Computes the losses of every decoder layer; those of all but the last are called
        ``d0.loss_cls`` and so on.

        The losses of proposals, which are class-agnostic, are called ``enc_loss_cls`` and so on.
        """
        table = TargetTable.of(targets, infos)
        sets, tables = [predictions], [table]
        if predictions.proposals is not None:
            sets.append(predictions.proposals)
            tables.append(table.class_agnostic())
        by_set = [
            self.config.loss(one, index, its_table)
            for one, index, its_table in zip(sets, self.config.loss.match(sets, tables), tables)
        ]
        losses = losses_of_layers(by_set[0])
        for proposals in by_set[1:]:
            losses.update({f"enc_{name}": values[-1] for name, values in proposals.items()})
        return losses


def losses_of_layers(values: Mapping[str, Tensor]) -> Losses:
    """Losses (S,) of successive layers, each with its name: those of all but the last are called
    ``d0.loss_cls`` and so on.
    """
    losses = Losses({name: layers[-1] for name, layers in values.items()})
    for layer in range(len(next(iter(values.values()))) - 1):
        losses.update({f"d{layer}.{name}": layers[layer] for name, layers in values.items()})
    return losses


def to_pixels(boxes: Tensor, infos: Sequence[ImageInfo]) -> Tensor:
    """Boxes (..., B, Q, 4) as center and size in normalized coordinates -> xyxy in input pixels."""
    boxes = boxes.float()
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([center - half, center + half], -1) * image_scale(infos, boxes.device)


def clipped(boxes: Tensor, scores: Tensor, labels: Tensor, info: ImageInfo) -> Detections:
    """Clips detections to the image, keeping their order."""
    return Detections(clip_boxes(boxes, info.size), scores, labels)


def best_pairs(scores: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns queries, scores and classes of the ``count`` highest scores (Q, C)."""
    best, index = scores.flatten().topk(min(count, scores.numel()))
    return index // scores.shape[1], best, index % scores.shape[1]
