"""Guided anchoring (https://arxiv.org/abs/1901.03278): predicts the locations and shapes of
anchors.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.base import Assigner, PriorAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import Channels, UnitFloat, config
from detzoo.heads.dense.base import (
    DenseHead,
    DenseHeadConfig,
    flatten_level,
    gather_targets,
)
from detzoo.heads.dense.guided_locations import location_targets
from detzoo.layers.shifted_conv import ShiftedConv2d
from detzoo.losses.boxes import BoundedIoULoss, BoxLoss
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.ops.distributed import average_over_processes
from detzoo.priors.anchors import AnchorGrid
from detzoo.samplers.base import Sampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Assignment, DensePredictions, ImageInfo, Losses, Priors, Targets

# The location loss is averaged over the number of cells divided by this.
CELLS_PER_LOCATION = 200
DEFORMABLE_GROUPS = 4


@config
class GuidedAnchorHeadConfig(DenseHeadConfig):
    """Guided anchoring: ``anchor_coder`` turns ``priors``, one square per cell, into anchors, to
    which ``assigner`` and ``coder`` refer.

    Args:
        shape_assigner: Assigns targets to squares, for training the anchor shapes.
        shape_sampler: Samples the squares whose shapes are trained.
        anchor_coder: Decodes an anchor from its square and the predicted shape.
        location_loss: Loss of the locations.
        shape_loss: Loss of the anchor shapes.
        center_ratio: Fraction of a target's sides within which cells are positive locations.
        ignore_ratio: Fraction of a target's sides within which all other cells are ignored.
        min_location_score: Minimum location score of anchors used in inference.
        channels: Channels of the hidden layers.
    """

    priors: AnchorGrid
    assigner: Assigner
    shape_assigner: PriorAssigner
    shape_sampler: Sampler = RandomSampler(num=256, positive_fraction=0.5)
    anchor_coder: BoxCoder = DeltaCoder(max_ratio=1e6)
    location_loss: ClassificationLoss = FocalLoss()
    shape_loss: BoxLoss = BoundedIoULoss()
    center_ratio: UnitFloat = 0.2
    ignore_ratio: UnitFloat = 0.5
    min_location_score: UnitFloat = 0.01
    channels: Channels = 256


@dataclass(frozen=True, kw_only=True)
class GuidedPredictions(DensePredictions):
    """Predictions with the ``shapes`` (B, P, 2), deltas of width and height, and
    ``location_logits`` (B, P) of each of P squares.
    """

    shapes: Tensor
    location_logits: Tensor


class GuidedAnchorHead(DenseHead[GuidedPredictions]):
    """A head with different anchors for each image; their shapes are trained by their own loss
    only.
    """

    config: GuidedAnchorHeadConfig

    @abstractmethod
    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, C, H, W) of one level -> class logits (B, K, H, W), codes (B, 4, H, W), shapes (B, 2,
        H, W) and location logits (B, 1, H, W)."""

    def forward(self, features: Sequence[Tensor]) -> GuidedPredictions:
        levels = [self.forward_level(x, level) for level, x in enumerate(features)]
        grids = tuple((x.shape[2], x.shape[3]) for x in features)
        logits, codes, shapes, locations = (
            torch.cat([flatten_level(x, x.shape[1]) for x in maps], 1) for maps in zip(*levels)
        )
        priors = self.config.priors.place(grids, self.strides, features[0].device)
        return GuidedPredictions(
            logits, codes, priors, shapes=shapes, location_logits=locations[..., 0]
        )

    def anchors(self, predictions: GuidedPredictions) -> Tensor:
        """The anchors: squares with their predicted shapes, (B, P, 4)."""
        deltas = F.pad(predictions.shapes.float(), (2, 0))
        return self.config.anchor_coder.decode(predictions.priors.boxes, deltas)

    # ------------------------------------------------------------------------------ training

    def loss(
        self,
        predictions: GuidedPredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        return super().loss(predictions, targets, infos) | Losses(
            loss_shape=self._shape_loss(predictions, targets, infos),
            loss_loc=self._location_loss(predictions, targets),
        )

    def assign_image(
        self, predictions: GuidedPredictions, image: int, targets: Targets, info: ImageInfo
    ) -> Assignment:
        squares = predictions.priors
        anchors = self.anchors(predictions)[image]
        guided = Priors(anchors, squares.stride, squares.level_sizes, squares.grids)
        return self.config.assigner.assign_priors(guided, targets, self.trainable(squares, info))

    def references(self, predictions: GuidedPredictions) -> Tensor:
        return self.anchors(predictions).detach()

    def _shape_loss(
        self,
        predictions: GuidedPredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Tensor:
        config, squares = self.config, predictions.priors
        with torch.no_grad():
            assignments = [
                config.shape_assigner.assign_priors(squares, target, self.trainable(squares, info))
                for target, info in zip(targets, infos)
            ]
            wanted = gather_targets(
                assignments, targets, squares, self.num_classes, config.shape_sampler
            )
        anchors = self.anchors(predictions)
        loss = config.shape_loss(
            anchors.flatten(0, 1), wanted.boxes.flatten(0, 1), wanted.box_weights.flatten()
        )
        return loss / wanted.num_samples

    def _location_loss(self, predictions: GuidedPredictions, targets: Sequence[Targets]) -> Tensor:
        config, squares = self.config, predictions.priors
        rows = [
            location_targets(
                target.boxes,
                squares.grids,
                self.strides,
                anchor_size=config.priors.scales[0] * self.strides[0],
                center_ratio=config.center_ratio,
                ignore_ratio=config.ignore_ratio,
            )
            for target in targets
        ]
        is_center, weights = (torch.cat(column) for column in zip(*rows))
        logits = predictions.location_logits.float().flatten()
        # Centers get label 1, which with a single class 0 means background: as in the published
        # weights, high scores mean that there is no anchor.
        loss = config.location_loss(logits[:, None], is_center.long(), weights)
        cells = logits.new_full((), logits.numel() / CELLS_PER_LOCATION)
        return loss / average_over_processes(cells)

    # ----------------------------------------------------------------------------- inference

    def counts(self, predictions: GuidedPredictions) -> Tensor:
        """Which anchors (B, P) are used in inference."""
        scores = self.config.location_loss.scores(predictions.location_logits.float())
        return scores >= self.config.min_location_score


class FeatureAdaption(nn.Module):
    """Adapts features to the shapes of anchors by a deformable convolution.

    Children ``conv_offset`` and ``conv_adaption``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_offset = nn.Conv2d(2, DEFORMABLE_GROUPS * 2 * 9, 1, bias=False)
        self.conv_adaption = ShiftedConv2d(channels, channels)

    def initialize(self) -> None:
        nn.init.normal_(self.conv_offset.weight, std=0.1)
        nn.init.normal_(self.conv_adaption.weight, std=0.01)

    def forward(self, x: Tensor, shapes: Tensor) -> Tensor:
        """(B, C, H, W) and the shapes of the cells' anchors (B, 2, H, W) -> (B, C, H, W)."""
        return F.relu(self.conv_adaption(x, self.conv_offset(shapes.detach())))
