"""The skeleton of dense heads: predictions for every prior, and what becomes of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import NonNegativeFloat, config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.losses.boxes import BoxLoss
from detzoo.losses.classification import ClassificationLoss
from detzoo.losses.scoring import Scoring
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import inside_image
from detzoo.priors.base import PriorGrid
from detzoo.samplers.base import Sampler
from detzoo.structures import (
    Assignment,
    Candidates,
    DensePredictions,
    Detections,
    ImageInfo,
    Priors,
    Targets,
)


@config
class PriorHeadConfig(DetectionHeadConfig):
    """What all dense heads have in common.

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
        """How class logits turn into scores."""


@config
class DenseHeadConfig(PriorHeadConfig):
    """A dense head that trains on an assignment of targets to priors.

    Args:
        assigner: Assigns targets to priors.
        sampler: Samples the priors to train on; None: all of them.
        classification_loss: Loss of the classes.
        box_loss: Loss of the boxes of positive priors.
        border: Pixels by which priors may exceed the image and still be trained on; None: any
            number.
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
    ) -> DenseHead: ...


@dataclass(frozen=True)
class DenseTargets:
    """What each prior of each image is trained on.

    ``index`` (B, P) is the prior's target, BACKGROUND or IGNORED. ``labels`` (B, P) are C for
    background; ``label_weights`` (B, P) are 0 for priors left out; ``boxes`` (B, P, 4) count where
    ``box_weights`` (B, P) is 1. Losses are averaged over ``num_samples``.
    """

    index: Tensor
    labels: Tensor
    label_weights: Tensor
    boxes: Tensor
    box_weights: Tensor
    num_samples: Tensor


class PriorHead(DetectionHead):
    """Predicts for every prior and decodes detections; each family adds its training.

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
        quality logits (B, A, H, W) if the head rates its boxes."""

    def forward(self, features: Sequence[Tensor]) -> DensePredictions:
        levels = [self.forward_level(x, level) for level, x in enumerate(features)]
        grids = tuple((x.shape[2], x.shape[3]) for x in features)
        priors = self.config.priors.place(grids, self.strides, features[0].device)
        logits, codes, *quality = (
            torch.cat([flatten_level(x, channels) for x in maps], 1)
            for maps, channels in zip(zip(*levels), (self.num_outputs, self.box_channels, 1))
        )
        return DensePredictions(logits, codes, priors, quality[0][..., 0] if quality else None)

    def decode(self, predictions: DensePredictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """The boxes with the highest scores of each image and level."""
        out = []
        for image, info in enumerate(infos):
            prior, scores, labels = self._best(predictions.cls_logits[image], predictions)
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

    def _best(self, logits: Tensor, predictions: DensePredictions) -> tuple[Tensor, Tensor, Tensor]:
        """Prior index, score and label of the candidates in one image, from its logits (P, K)."""
        select, scoring = self.config.select, self.config.scoring
        priors, scores, labels = [], [], []
        start = 0
        for level in logits.split(predictions.priors.level_sizes):
            prior, label = scoring.above(level, select.min_score).nonzero(as_tuple=True)
            score = scoring.scores(level[prior].float()).gather(1, label[:, None])[:, 0]
            if select.pre_nms is not None and len(score) > select.pre_nms:
                score, best = score.topk(select.pre_nms)
                prior, label = prior[best], label[best]
            priors.append(prior + start)
            scores.append(score)
            labels.append(label)
            start += len(level)
        return torch.cat(priors), torch.cat(scores), torch.cat(labels)


class DenseHead(PriorHead):
    """Trains on an assignment: ``loss`` is ``losses`` of ``assign``.

    A family overrides the steps in which it differs.
    """

    config: DenseHeadConfig

    def loss(
        self,
        predictions: DensePredictions,
        targets: Sequence[Targets],
        infos: Sequence[ImageInfo],
    ) -> dict[str, Tensor]:
        return self.losses(predictions, self.assign(predictions, targets, infos))

    @torch.no_grad()
    def assign(
        self,
        predictions: DensePredictions,
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
        self, predictions: DensePredictions, image: int, targets: Targets, info: ImageInfo
    ) -> Assignment:
        """Assigns the targets of the image at index ``image`` to priors."""
        priors = predictions.priors
        return self.config.assigner.assign_priors(priors, targets, self.trainable(priors, info))

    def trainable(self, priors: Priors, info: ImageInfo) -> Tensor:
        """(P,) whether each prior may be trained on in this image."""
        return inside_image(priors, info, self.config.border)

    def references(self, predictions: DensePredictions) -> Tensor:
        """The boxes that codes are relative to: (P, 4), or (B, P, 4) if they differ between
        images."""
        return predictions.priors.boxes

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> dict[str, Tensor]:
        """Classification and box loss, averaged over the samples."""
        classification, box = self.summed_losses(predictions, targets)
        return {
            "loss_cls": classification / targets.num_samples,
            "loss_bbox": box / targets.num_samples,
        }

    def summed_losses(
        self, predictions: DensePredictions, targets: DenseTargets
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
    """Turns the assignment of each image into training targets; with a ``sampler``, for its samples
    only."""
    rows = [
        _gather_image(assignment, target, priors, num_classes, sampler)
        for assignment, target in zip(assignments, targets)
    ]
    index, labels, is_positive, is_negative, boxes = (torch.stack(column) for column in zip(*rows))
    # An image without positives or negatives counts as if it had one.
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
    """(K,) whether both sides of each box are positive."""
    return ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
