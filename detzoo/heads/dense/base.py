"""The skeleton of dense heads: predictions for every prior, training and decoding."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import torch
from torch import Tensor
from typing_extensions import TypeVar

from detzoo.assigners.base import PriorAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import NonNegativeFloat, config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.losses.boxes import BoxLoss
from detzoo.losses.classification import ClassificationLoss
from detzoo.losses.scoring import Scoring
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.select import Pairs, Select
from detzoo.priors.anchors import inside_image
from detzoo.priors.base import PriorGrid
from detzoo.samplers.base import Sampler
from detzoo.structures import (
    Assignment,
    Candidates,
    DensePredictions,
    Detections,
    ImageInfo,
    Losses,
    Priors,
    Targets,
)

# The predictions of a head; guided anchoring extends them.
Predictions = TypeVar("Predictions", bound=DensePredictions, default=DensePredictions)


@config
class PriorHeadConfig(DetectionHeadConfig):
    """Base configuration of all dense heads.

    Args:
        priors: The priors: anchors or points.
        coder: Encodes boxes relative to priors.
        select: Selects the final detections.
    """

    priors: PriorGrid
    coder: BoxCoder = DeltaCoder()
    select: Select

    @property
    @abstractmethod
    def scoring(self) -> Scoring:
        """The conversion of class logits to scores."""


@config
class DenseHeadConfig(PriorHeadConfig):
    """A dense head that is trained on an assignment of targets to priors.

    Args:
        assigner: Assigns targets to priors.
        sampler: Samples the priors that are trained on; None: all.
        classification_loss: Loss of the classes.
        box_loss: Loss of the boxes of positive priors.
        border: Pixels by which trained priors may exceed the image; None: no limit.
    """

    assigner: PriorAssigner
    sampler: Sampler | None = None
    classification_loss: ClassificationLoss
    box_loss: BoxLoss
    border: NonNegativeFloat | None = None

    @property
    def scoring(self) -> Scoring:
        return self.classification_loss

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DenseHead[Any]: ...


@dataclass(frozen=True)
class DenseTargets:
    """The training targets of each prior of each image.

    ``index`` (B, P) is the prior's target, BACKGROUND or IGNORED. ``labels`` (B, P) are C for
    background; ``label_weights`` (B, P) are 0 for priors left out; ``boxes`` (B, P, 4) are used
    where ``box_weights`` (B, P) is 1. Losses are averaged over ``num_samples``.
    """

    index: Tensor
    labels: Tensor
    label_weights: Tensor
    boxes: Tensor
    box_weights: Tensor
    num_samples: Tensor


class PriorHead(DetectionHead, Generic[Predictions]):
    """Predicts for every prior and decodes detections; each family adds its losses.

    ``box_channels`` is the number of channels that encode a box.
    """

    box_channels = 4

    def __init__(self, config: PriorHeadConfig, strides: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        self.num_classes = num_classes
        self.num_outputs = config.scoring.num_outputs(num_classes)

    @abstractmethod
    def forward_level(self, x: Tensor, level: int) -> tuple[Tensor, ...]:
        """(B, C, H, W) of one level -> class logits (B, A * K, H, W), codes (B, A * D, H, W), and
        quality logits (B, A, H, W) if the head predicts the quality of its boxes."""

    def forward(self, features: Sequence[Tensor]) -> DensePredictions:
        levels = [self.forward_level(x, level) for level, x in enumerate(features)]
        grids = tuple((x.shape[2], x.shape[3]) for x in features)
        priors = self.config.priors.place(grids, self.strides, features[0].device)
        logits, codes, *quality = (
            torch.cat([flatten_level(x, channels) for x in maps], 1)
            for maps, channels in zip(zip(*levels), (self.num_outputs, self.box_channels, 1))
        )
        return DensePredictions(logits, codes, priors, quality[0][..., 0] if quality else None)

    def decode(self, predictions: Predictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """Decodes the boxes with the highest scores of each image and level."""
        out = []
        for image, info in enumerate(infos):
            prior, labels, scores = self.best(predictions.cls_logits[image], predictions.priors)
            codes = predictions.box_deltas[image, prior].float()
            boxes = self.decode_boxes(predictions.priors, prior, codes, info.size)
            if predictions.quality_logits is not None:
                scores = scores * predictions.quality_logits[image, prior].float().sigmoid()
            out.append(Candidates(boxes, scores, labels, labels))
        return out

    def decode_boxes(
        self, priors: Priors, index: Tensor, codes: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Decodes boxes (K, 4) of the priors at ``index`` (K,) from ``codes`` (K, D), clipped to
        the image."""
        return self.config.coder.decode(priors.boxes[index], codes, size)

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        return [self.config.select(image) for image in candidates]

    def best(self, logits: Tensor, priors: Priors) -> Pairs:
        """Selects priors, labels and scores of candidates in one image per level, from logits (P,
        K).
        """
        parts, start = [], 0
        for level in logits.split(priors.level_sizes):
            prior, label, score = self.config.select.best_pairs(level, self.config.scoring)
            parts.append((prior + start, label, score))
            start += level.shape[0]
        prior, label, score = (torch.cat(column) for column in zip(*parts))
        return prior, label, score


class DenseHead(PriorHead[Predictions]):
    """A head trained on an assignment: ``loss`` is ``losses`` of ``assign``.

    A family overrides the steps in which it differs.
    """

    config: DenseHeadConfig

    def loss(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> Losses:
        return self.losses(predictions, self.assign(predictions, targets, infos))

    @torch.no_grad()
    def assign(
        self,
        predictions: Predictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> DenseTargets:
        """Assigns the targets of all images to priors."""
        assignments = [
            self.assign_image(predictions, image, target, info)
            for image, (target, info) in enumerate(zip(targets, infos))
        ]
        return gather_targets(
            assignments, targets, predictions.priors, self.num_classes, self.config.sampler
        )

    def assign_image(
        self, predictions: Predictions, image: int, targets: Targets, info: ImageInfo
    ) -> Assignment:
        """Assigns the targets of the image at index ``image`` to priors."""
        priors = predictions.priors
        return self.config.assigner.assign_priors(priors, targets, self.trainable(priors, info))

    def trainable(self, priors: Priors, info: ImageInfo) -> Tensor:
        """Whether each prior (P,) is trained on in this image."""
        return inside_image(priors, info, self.config.border)

    def untrainable_strides(self, infos: Sequence[ImageInfo]) -> list[int]:
        """The strides of levels without a prior that is trained on in any of these images."""
        left = set(self.strides)
        for info in infos:
            grids = tuple(
                (math.ceil(info.padded_size[0] / stride), math.ceil(info.padded_size[1] / stride))
                for stride in self.strides
            )
            priors = self.config.priors.place(grids, self.strides, torch.device("cpu"))
            levels = self.trainable(priors, info).split(priors.level_sizes)
            left -= {stride for stride, level in zip(self.strides, levels) if level.any()}
        return sorted(left)

    def references(self, predictions: Predictions) -> Tensor:
        """The boxes that codes are relative to: (P, 4), or (B, P, 4) if they differ per image."""
        return predictions.priors.boxes

    def losses(self, predictions: Predictions, targets: DenseTargets) -> Losses:
        """Classification and box loss, averaged over the samples."""
        classification, box = self.summed_losses(predictions, targets)
        return Losses(
            loss_cls=classification / targets.num_samples,
            loss_bbox=box / targets.num_samples,
        )

    def summed_losses(
        self, predictions: Predictions, targets: DenseTargets
    ) -> tuple[Tensor, Tensor]:
        """Classification and box loss, summed over the samples."""
        config = self.config
        classification = config.classification_loss(
            predictions.cls_logits.flatten(0, 1).float(),
            targets.labels.flatten(),
            targets.label_weights.flatten(),
        )
        predicted = predictions.box_deltas.float()
        references = self.references(predictions)
        if config.box_loss.on_boxes:
            predicted, wanted = config.coder.decode(references, predicted), targets.boxes
        else:
            wanted = config.coder.encode(references, targets.boxes)
        box = config.box_loss(
            predicted.flatten(0, 1), wanted.flatten(0, 1), targets.box_weights.flatten()
        )
        return classification, box


def gather_targets(
    assignments: Sequence[Assignment],
    targets: Sequence[Targets],
    priors: Priors,
    num_classes: int,
    sampler: Sampler | None = None,
) -> DenseTargets:
    """Converts the assignment of each image to training targets, of samples only if there is a
    ``sampler``.
    """
    rows = [
        _gather_image(assignment, target, priors, num_classes, sampler)
        for assignment, target in zip(assignments, targets)
    ]
    index, labels, is_positive, is_negative, boxes = (torch.stack(column) for column in zip(*rows))
    # An image without positives or negatives is counted as having one.
    num_samples = is_positive.sum(1).clamp(min=1).sum()
    if sampler is not None:
        num_samples = num_samples + is_negative.sum(1).clamp(min=1).sum()
    return DenseTargets(
        index,
        labels,
        (is_positive | is_negative).float(),
        boxes,
        is_positive.float(),
        average_over_processes(num_samples.float()),
    )


def _gather_image(
    assignment: Assignment,
    targets: Targets,
    priors: Priors,
    num_classes: int,
    sampler: Sampler | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Target index and label (P,), positive and negative masks (P,), and target boxes (P, 4)."""
    index = assignment.target_index
    is_positive, is_negative = assignment.is_positive, assignment.is_background
    if sampler is not None:
        sampling = sampler.sample(assignment)
        is_positive, is_negative = sampling.is_positive, sampling.is_negative
    if len(targets) == 0:
        labels = torch.full_like(index, num_classes)
        return index, labels, is_positive, is_negative, priors.boxes
    some = index.clamp(min=0)
    labels = torch.where(is_positive, targets.labels[some], num_classes)
    return index, labels, is_positive, is_negative, targets.boxes[some]


def flatten_level(x: Tensor, channels: int) -> Tensor:
    """(B, A * channels, H, W) -> (B, H * W * A, channels), in the order of the priors."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, channels)


def has_area(boxes: Tensor) -> Tensor:
    """Whether the width and height of each box (K,) are positive."""
    return ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
