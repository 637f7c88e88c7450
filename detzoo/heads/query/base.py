"""What the heads of set prediction share (DETR, https://arxiv.org/abs/2005.12872)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.assigners.hungarian import TargetTable, image_scale
from detzoo.config import ConfigError, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.query.set_loss import QueryPredictions, SetLoss
from detzoo.layers.positional_encoding import SinePositions
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import Detections, ImageBatch, ImageInfo, Losses, Targets


@config
class QueryHeadConfig(ABC):
    """A fixed number of queries, each of which finds one object or none."""

    num_queries: int
    positions: SinePositions = SinePositions()
    loss: SetLoss
    max_detections: int = 100

    def __post_init__(self) -> None:
        for name in ("num_queries", "max_detections"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not at least 1")

    @abstractmethod
    def build(self, in_channels: Sequence[int], num_classes: int) -> QueryHead:
        """The module for feature maps of ``in_channels``."""


class QueryHead(nn.Module, ABC):
    """From feature maps and what is known of the images to predictions of every decoder layer."""

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
        """Detections of each image, from the last layer's predictions."""

    def loss(
        self,
        predictions: QueryPredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        """Losses of every decoder layer, the earlier ones' as ``d0.loss_cls`` and so on.

        Those of proposals, which know objects but no classes, as ``enc_loss_cls`` and so on.
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
        losses = Losses({name: values[-1] for name, values in by_set[0].items()})
        for layer in range(len(predictions.logits) - 1):
            losses.update({f"d{layer}.{name}": values[layer] for name, values in by_set[0].items()})
        for proposals in by_set[1:]:
            losses.update({f"enc_{name}": values[-1] for name, values in proposals.items()})
        return losses


def to_pixels(boxes: Tensor, infos: Sequence[ImageInfo]) -> Tensor:
    """Boxes (..., B, Q, 4) as center and size in parts of the image -> xyxy in input pixels."""
    boxes = boxes.float()
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([center - half, center + half], -1) * image_scale(infos, boxes.device)


def clipped(boxes: Tensor, scores: Tensor, labels: Tensor, info: ImageInfo) -> Detections:
    """Detections in the image, by falling score as they are given."""
    return Detections(clip_boxes(boxes, info.size), scores, labels)


def best_pairs(scores: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` best of scores (Q, C) -> their queries, scores and classes."""
    best, index = scores.flatten().topk(min(count, scores.numel()))
    return index // scores.shape[1], best, index % scores.shape[1]
