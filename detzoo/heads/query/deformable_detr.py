"""Deformable DETR: queries that attend to sampling locations in a pyramid
(https://arxiv.org/abs/2010.04159)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.hungarian import FocalCost, HungarianAssigner
from detzoo.config import PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.query.base import QueryHead, QueryHeadConfig, best_pairs, clipped, to_pixels
from detzoo.heads.query.deformable_transformer import (
    DeformableTransformer,
    DeformableTransformerConfig,
    Pyramid,
    inverse_sigmoid,
)
from detzoo.heads.query.set_loss import QueryPredictions, SetLoss
from detzoo.layers.positional_encoding import LearnedPositions, SinePositions, ValidCells, sines
from detzoo.losses.classification import FocalLoss
from detzoo.structures import Detections, ImageBatch, ImageInfo

# Initial score of all classes: objects are rare.
PRIOR_PROBABILITY = 0.01


@config
class DeformableDETRHeadConfig(QueryHeadConfig):
    """Deformable DETR: queries with a reference point or box, around which they sample all levels.

    Args:
        transformer: The deformable transformer.
        refines_boxes: Iterative box refinement: each decoder layer has its own class and box
            layers, and refines the reference boxes for the next layer.
        two_stage: Initialize queries from the best boxes proposed by the encoder's cells instead of
            learning them.
    """

    num_queries: PositiveInt = 300
    transformer: DeformableTransformerConfig = DeformableTransformerConfig()
    positions: SinePositions | LearnedPositions = SinePositions(offset=-0.5)
    refines_boxes: bool = False
    two_stage: bool = False
    loss: SetLoss = SetLoss(
        assigner=HungarianAssigner(class_cost=FocalCost(weight=2.0)),
        classification_loss=FocalLoss(weight=2.0),
    )

    def build(self, in_channels: Sequence[int], num_classes: int) -> DeformableDETRHead:
        channels = self.transformer.channels
        if set(in_channels) != {channels}:
            raise ConfigError(
                f"model.bbox_head.transformer.channels: {channels} must equal the channels of the "
                f"neck's maps, {', '.join(map(str, sorted(set(in_channels))))}"
            )
        return DeformableDETRHead(self, len(in_channels), num_classes)


class DeformableDETRHead(QueryHead):
    """Children ``positional_encoding``, ``transformer``, ``cls_branches`` and ``reg_branches``, and
    ``query_embedding`` unless two-stage.

    Without refinement, all layers share one branch of each kind, under several names. In two-stage
    models, an additional last branch of each kind is used by the encoder.
    """

    config: DeformableDETRHeadConfig

    def __init__(self, config: DeformableDETRHeadConfig, num_levels: int, num_classes: int) -> None:
        super().__init__(config, num_classes)
        channels, layers = config.transformer.channels, config.transformer.decoder_layers
        self.positional_encoding = config.positions.build(channels)
        self.transformer = DeformableTransformer(
            config.transformer, num_levels, two_stage=config.two_stage
        )
        classes = partial(_class_branch, channels, self.num_outputs)
        boxes = partial(_box_branch, channels)
        count = layers + 1 if config.two_stage else layers
        self.cls_branches = _branches(classes, count, shared=not config.refines_boxes)
        self.reg_branches = _branches(boxes, count, shared=not config.refines_boxes)
        if not config.two_stage:
            self.query_embedding = nn.Embedding(config.num_queries, 2 * channels)
            # Initial boxes are small; boxes proposed by cells already have a size.
            initial_box = self.reg_branches[0].get_parameter("4.bias")
            nn.init.constant_(initial_box.data[2:], -2.0)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.loss.classification_loss.num_outputs(0))
        names = [f"cls_branches.{number}" for number in range(len(self.cls_branches))]
        return {f"{name}.{leaf}": rows for name in names for leaf in ("weight", "bias")}

    def forward(self, features: Sequence[Tensor], images: ImageBatch) -> QueryPredictions:
        size = (images.pixels.shape[2], images.pixels.shape[3])
        valid = [
            ValidCells.of(images.infos, size, (x.shape[2], x.shape[3]), x.device) for x in features
        ]
        pyramid = Pyramid.of(valid)
        positions = [self.positional_encoding(level) for level in valid]
        memory = self.transformer.encode(features, positions, pyramid)
        proposals = None
        if self.config.two_stage:
            placed, x, references, proposals = self._proposed(memory, pyramid, images.infos)
        else:
            queries = self.query_embedding.weight.expand(len(memory), -1, -1)
            placed, x = queries.chunk(2, 2)
            references = self.transformer.reference_points(placed).sigmoid()
        logits, boxes = [], []
        branches = zip(self.transformer.decoder.layers, self.cls_branches, self.reg_branches)
        for layer, classify, regress in branches:
            x = layer(x, placed, memory, pyramid, references)
            # The first reference is a point (x, y), unless boxes are proposed.
            base = inverse_sigmoid(references.float())
            box = (regress(x).float() + F.pad(base, (0, 4 - base.shape[2]))).sigmoid()
            logits.append(classify(x))
            boxes.append(box)
            if self.config.refines_boxes:
                references = box.detach()
        pixels = to_pixels(torch.stack(boxes), images.infos)
        return QueryPredictions(torch.stack(logits), pixels, proposals)

    def detect(self, predictions: QueryPredictions, infos: Sequence[ImageInfo]) -> list[Detections]:
        """The pairs of query and class with the highest scores."""
        detections = []
        for logits, boxes, info in zip(predictions.logits[-1], predictions.boxes[-1], infos):
            scores = self.config.loss.classification_loss.scores(logits.float())
            query, best, labels = best_pairs(scores, self.config.max_detections)
            detections.append(clipped(boxes[query], best, labels, info))
        return detections

    def _proposed(
        self, memory: Tensor, pyramid: Pyramid, infos: Sequence[ImageInfo]
    ) -> tuple[Tensor, Tensor, Tensor, QueryPredictions]:
        """Creates queries from the best cells: positions and content (B, Q, C), and boxes (B, Q,
        4).
        """
        cells, base = self.transformer.propose(memory, pyramid)
        logits = self.cls_branches[-1](cells)
        boxes = self.reg_branches[-1](cells).float() + base
        # Proposals are class-agnostic: all objects have class 0.
        count = min(self.config.num_queries, logits.shape[1])
        best = logits[..., 0].topk(count, 1).indices[..., None]
        chosen = boxes.detach().gather(1, best.expand(-1, -1, 4)).sigmoid()
        channels = memory.shape[2]
        place = sines(chosen, channels // 2).flatten(2)
        placed, x = self.transformer.queries_of(place).chunk(2, 2)
        pixels = to_pixels(boxes.sigmoid()[None], infos)
        return placed, x, chosen, QueryPredictions(logits[None], pixels)


def _class_branch(channels: int, num_outputs: int) -> nn.Linear:
    linear = nn.Linear(channels, num_outputs)
    nn.init.constant_(linear.bias, -math.log(1 / PRIOR_PROBABILITY - 1))
    return linear


def _box_branch(channels: int) -> nn.Sequential:
    last = nn.Linear(channels, 4)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(channels, channels),
        nn.ReLU(),
        nn.Linear(channels, channels),
        nn.ReLU(),
        last,
    )


def _branches(make: Callable[[], nn.Module], count: int, shared: bool) -> nn.ModuleList:
    """They start alike. PyTorch does not copy modules without values (``FakeTensorMode``)."""
    first = make()
    if shared:
        return nn.ModuleList([first] * count)
    others = [make() for _ in range(count - 1)]
    for other in others:
        other.load_state_dict(first.state_dict())
    return nn.ModuleList([first, *others])
