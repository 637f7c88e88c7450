"""The common parts of heads whose queries predict masks of things and stuff (MaskFormer,
https://arxiv.org/abs/2107.06278)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import ConfigError, NonNegativeInt, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.query.base import best_pairs, losses_of_layers
from detzoo.heads.query.mask_set_loss import MaskQueryPredictions, MaskSetLoss, MaskTargets
from detzoo.layers.positional_encoding import SinePositions
from detzoo.ops.fixed_shapes import regions_are_even
from detzoo.postprocess.query_panoptic import QueryFusion, QuerySegments
from detzoo.postprocess.static import PADDING
from detzoo.structures import Detections, ImageBatch, ImageInfo, ImageMasks, Losses, Targets
from detzoo.structures.images import Size


@config
class MaskQueryHeadConfig(ABC):
    """A fixed number of queries, each of which predicts a class and a mask of the whole image.

    Args:
        num_queries: Number of queries.
        positions: Positional encoding of the cells.
        loss: Matches queries with segments, and computes the losses.
        max_detections: Number of pairs of query and class per image that become detections, those
            of things; 0: none, the panoptic map alone.
        fusion: Fuses the masks to a panoptic map; None: there is none, and no stuff.
    """

    num_queries: PositiveInt = 100
    positions: SinePositions = SinePositions()
    loss: MaskSetLoss = MaskSetLoss()
    max_detections: NonNegativeInt = 100
    fusion: QueryFusion | None = None

    def __post_init__(self) -> None:
        if self.fusion is None and self.max_detections == 0:
            raise ConfigError("max_detections, fusion: at most one of them can be off")

    @abstractmethod
    def build(self, in_channels: Sequence[int], num_things: int, num_stuff: int) -> MaskQueryHead:
        """Builds the module for feature maps of ``in_channels``."""


class MaskQueryHead(nn.Module, ABC):
    """Children ``query_embed``, ``cls_embed`` and ``mask_embed``; a family adds ``pixel_decoder``
    and ``transformer_decoder``."""

    def __init__(
        self, config: MaskQueryHeadConfig, channels: int, num_things: int, num_stuff: int
    ) -> None:
        super().__init__()
        if num_stuff and config.fusion is None:
            raise ConfigError(
                f"model.panoptic_head.fusion: None, but there are {num_stuff} classes of stuff"
            )
        self.config = config
        self.num_things, self.num_classes = num_things, num_things + num_stuff
        outputs = config.loss.classification_loss.num_outputs(self.num_classes)
        self.query_embed = nn.Embedding(config.num_queries, channels)
        self.cls_embed = nn.Linear(channels, outputs)
        self.mask_embed = nn.Sequential(
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, channels),
        )

    def class_parameters(self) -> dict[str, ClassRows]:
        """The parameters whose size depends on the number of classes, by name."""
        shared = self.config.loss.classification_loss.num_outputs(0)
        rows = ClassRows(shared=shared, of="all")
        return {"cls_embed.weight": rows, "cls_embed.bias": rows}

    @abstractmethod
    def forward(self, features: Sequence[Tensor], images: ImageBatch) -> MaskQueryPredictions:
        """Feature maps (B, C_l, H_l, W_l) and their images -> predictions of all layers."""

    def predict(self, queries: Tensor, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (..., B, Q, K) and mask logits (..., B, Q, H, W) of queries (..., B, Q, C),
        given features of masks (B, C, H, W).
        """
        filters = self.mask_embed(queries)
        masks = (filters @ mask_features.flatten(2)).unflatten(-1, mask_features.shape[2:])
        return self.cls_embed(queries), masks

    def loss(self, predictions: MaskQueryPredictions, targets: Sequence[Targets]) -> Losses:
        """Computes the losses of every layer; those of all but the last are called ``d0.loss_cls``
        and so on.
        """
        segments = [self._segments(target, predictions.size) for target in targets]
        index = self.config.loss.match(predictions, segments)
        return losses_of_layers(self.config.loss(predictions, index, segments))

    def _segments(self, targets: Targets, size: Size) -> MaskTargets:
        """The things of an image, then a segment for each class of stuff in its semantic map."""
        assert targets.masks is not None, "a mask head trains on targets with masks"
        things = targets.masks.to_bitmaps().to(targets.boxes.device)
        labels, bitmaps, is_missing = targets.labels, things.bitmaps, things.is_missing
        if self.num_classes > self.num_things:
            assert targets.semantic_map is not None, "stuff is in semantic maps"
            # A recipe may shrink semantic maps, but not masks.
            semantic = F.interpolate(targets.semantic_map[None, None], bitmaps.shape[1:])[0]
            found = semantic.unique().long()
            found = found[(found >= self.num_things) & (found < self.num_classes)]
            stuff = semantic == found[:, None, None]
            labels = torch.cat([labels, found])
            bitmaps = torch.cat([bitmaps, stuff.to(bitmaps.dtype)])
            if is_missing is not None:
                is_missing = F.pad(is_missing, (0, len(found)))
        height, width = bitmaps.shape[1:]
        padded = F.pad(bitmaps, (0, size[1] - width, 0, size[0] - height))
        return MaskTargets(labels, padded, is_missing)

    def detect(
        self, predictions: MaskQueryPredictions, infos: Sequence[ImageInfo]
    ) -> list[Detections]:
        """The detections of each image from the predictions of the last layer, whose scores are
        those of the class times the mean probability of the pixels of the mask.
        """
        scoring, fusion = self.config.loss.classification_loss, self.config.fusion
        found = []
        for logits, masks, info in zip(
            predictions.logits[-1].float(), predictions.masks[-1].float(), infos
        ):
            things = self._things(scoring.scores(logits), masks, predictions.size, info)
            panoptic = None
            if fusion is not None:
                size, num_things = predictions.size, self.num_things
                panoptic = QuerySegments.of(fusion, logits.softmax(1), masks, size, num_things)
            found.append(Detections(*things, panoptic=panoptic))
        return found

    def _things(
        self, classes: Tensor, masks: Tensor, size: Size, info: ImageInfo
    ) -> tuple[Tensor, Tensor, Tensor, ImageMasks]:
        """Boxes, scores, labels and masks: the best pairs of query and class (Q, C), of things."""
        query, scores, labels = best_pairs(classes, self.config.max_detections)
        is_thing = labels < self.num_things
        if not regions_are_even():
            query, scores, labels = query[is_thing], scores[is_thing], labels[is_thing]
        drawn = ImageMasks(masks[query], size, threshold=0.0)
        boxes, certainty = drawn.boxes_and_means(info.size)
        scores = scores * certainty
        if regions_are_even():
            scores = torch.where(is_thing, scores, PADDING)
        scores, order = scores.sort(descending=True, stable=True)
        return boxes[order], scores, labels[order], drawn[order]
