"""The skeleton of dense heads: predictions for every prior, and what is done with them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.base import Assigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.losses.boxes import BoxLoss
from detzoo.losses.classification import ClassificationLoss
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import inside_image
from detzoo.priors.base import PriorGrid
from detzoo.samplers.base import Sampler
from detzoo.structures import Candidates, DensePredictions, Detections, ImageInfo, Targets


@config
class DenseHeadConfig(DetectionHeadConfig):
    """Parts that all dense heads share. Without a ``sampler`` every prior is trained on.

    ``border`` is how many pixels a prior may reach beyond the image to be trained on; None: any.
    """

    priors: PriorGrid
    assigner: Assigner
    coder: BoxCoder = DeltaCoder()
    sampler: Sampler | None = None
    classification_loss: ClassificationLoss
    box_loss: BoxLoss
    border: float | None = None
    select: Select

    @abstractmethod
    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DenseHead: ...


@dataclass(frozen=True)
class DenseTargets:
    """What each prior of each image is trained on.

    ``labels`` (B, P) are C for background, ``label_weights`` (B, P) 0 where a prior is left out,
    ``boxes`` (B, P, 4) count where ``box_weights`` (B, P) is 1. ``num_samples`` is the number of
    examples that losses are averaged over.
    """

    labels: Tensor
    label_weights: Tensor
    boxes: Tensor
    box_weights: Tensor
    num_samples: Tensor


class DenseHead(DetectionHead):
    """``loss`` is ``losses`` of ``assign``; ``decode`` and ``select`` make detections.

    A family overrides the steps in which it differs.
    """

    def __init__(self, config: DenseHeadConfig, strides: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides)
        self.num_classes = num_classes
        self.num_outputs = config.classification_loss.num_outputs(num_classes)

    @abstractmethod
    def forward_level(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) of one level -> class logits (B, A * K, H, W), deltas (B, A * 4, H, W)."""

    def forward(self, features: Sequence[Tensor]) -> DensePredictions:
        logits, deltas, grids = [], [], []
        for x in features:
            level_logits, level_deltas = self.forward_level(x)
            grids.append((x.shape[2], x.shape[3]))
            logits.append(flatten_level(level_logits, self.num_outputs))
            deltas.append(flatten_level(level_deltas, 4))
        priors = self.config.priors.place(tuple(grids), self.strides, features[0].device)
        return DensePredictions(torch.cat(logits, 1), torch.cat(deltas, 1), priors)

    # ------------------------------------------------------------------------------ training

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
        """Targets of all priors in all images."""
        rows = [
            self._assign_image(predictions, target, info) for target, info in zip(targets, infos)
        ]
        labels, is_positive, is_negative, boxes = (torch.stack(column) for column in zip(*rows))
        # An image without positives, or without negatives, counts as having one.
        num_samples = is_positive.sum(1).clamp(min=1).sum()
        if self.config.sampler is not None:
            num_samples = num_samples + is_negative.sum(1).clamp(min=1).sum()
        return DenseTargets(
            labels,
            (is_positive | is_negative).float(),
            boxes,
            is_positive.float(),
            average_over_processes(num_samples.float()),
        )

    def _assign_image(
        self, predictions: DensePredictions, targets: Targets, info: ImageInfo
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Labels (P,), positive and negative masks (P,), target boxes (P, 4)."""
        priors = predictions.priors
        allowed = inside_image(priors, info, self.config.border)
        # Priors outside must not be the best match of a target either: move them off the image.
        boxes = torch.where(allowed[:, None], priors.boxes, -1.0)
        assignment = self.config.assigner.assign(boxes, targets)
        assignment = assignment.ignoring(~allowed)
        is_positive, is_negative = assignment.is_positive, assignment.is_background
        if self.config.sampler is not None:
            sampling = self.config.sampler.sample(assignment)
            is_positive, is_negative = sampling.is_positive, sampling.is_negative
        if len(targets) == 0:
            labels = torch.full((len(priors),), self.num_classes, device=boxes.device)
            return labels, is_positive, is_negative, priors.boxes
        index = assignment.target_index.clamp(min=0)
        labels = torch.where(is_positive, targets.labels[index], self.num_classes)
        return labels, is_positive, is_negative, targets.boxes[index]

    def losses(self, predictions: DensePredictions, targets: DenseTargets) -> dict[str, Tensor]:
        """Classification and box loss, averaged over the examples."""
        config = self.config
        classification = config.classification_loss(
            predictions.cls_logits.flatten(0, 1).float(),
            targets.labels.flatten(),
            targets.label_weights.flatten(),
        )
        predicted = predictions.box_deltas.float()
        references = predictions.priors.boxes
        if config.box_loss.on_boxes:
            predicted, wanted = config.coder.decode(references, predicted), targets.boxes
        else:
            wanted = config.coder.encode(references, targets.boxes)
        box = config.box_loss(
            predicted.flatten(0, 1), wanted.flatten(0, 1), targets.box_weights.flatten()
        )
        return {
            "loss_cls": classification / targets.num_samples,
            "loss_bbox": box / targets.num_samples,
        }

    # ----------------------------------------------------------------------------- inference

    def decode(self, predictions: DensePredictions, infos: Sequence[ImageInfo]) -> list[Candidates]:
        """The best-scored boxes of each image and level."""
        out = []
        for image, info in enumerate(infos):
            prior, scores, labels = self._best(predictions.cls_logits[image], predictions)
            boxes = self.config.coder.decode(
                predictions.priors.boxes[prior],
                predictions.box_deltas[image, prior].float(),
                info.size,
            )
            candidates = Candidates(boxes, scores, labels, labels)
            out.append(candidates[has_area(boxes)])
        return out

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        return [self.config.select(image) for image in candidates]

    def _best(self, logits: Tensor, predictions: DensePredictions) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (P, K) of one image -> prior index, score and label of the candidates."""
        select, loss = self.config.select, self.config.classification_loss
        priors, scores, labels = [], [], []
        start = 0
        for level in logits.split(predictions.priors.level_sizes):
            prior, label = loss.above(level, select.min_score).nonzero(as_tuple=True)
            score = loss.scores(level[prior].float()).gather(1, label[:, None])[:, 0]
            if select.pre_nms is not None and len(score) > select.pre_nms:
                score, best = score.topk(select.pre_nms)
                prior, label = prior[best], label[best]
            priors.append(prior + start)
            scores.append(score)
            labels.append(label)
            start += len(level)
        return torch.cat(priors), torch.cat(scores), torch.cat(labels)


def flatten_level(x: Tensor, channels: int) -> Tensor:
    """(B, A * channels, H, W) -> (B, H * W * A, channels), in the order of the priors."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, channels)


def has_area(boxes: Tensor) -> Tensor:
    """(K,) whether both sides are positive."""
    return ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
