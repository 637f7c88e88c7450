"""Losses of masks matched one-to-one with targets (MaskFormer, https://arxiv.org/abs/2107.06278),
also on sampled points (Mask2Former, https://arxiv.org/abs/2112.01527)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.assigners.hungarian import solve
from detzoo.assigners.mask_hungarian import MaskHungarianAssigner
from detzoo.config import (
    ConfigError,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    UnitFloat,
    config,
)
from detzoo.heads.query.set_loss import classification_losses
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.losses.masks import MaskCrossEntropy, MaskDiceLoss, MaskLoss
from detzoo.ops.distributed import average_over_processes
from detzoo.ops.points import draw_uncertain_points, sample_points
from detzoo.structures.images import Size


@dataclass(frozen=True)
class MaskQueryPredictions:
    """The predictions of S successive stages for each of Q queries.

    ``logits`` (S, B, Q, K) of classes; ``masks``, logits (B, Q, h, w) of each stage, over an input
    of ``size`` (height, width).
    """

    logits: Tensor
    masks: tuple[Tensor, ...]
    size: Size


@dataclass(frozen=True)
class MaskTargets:
    """The N segments of one image: ``labels`` (N,) and ``bitmaps`` (N, H, W), uint8, over the whole
    padded input. ``is_missing`` (N,) are objects without an annotated mask, None: there are none.
    """

    labels: Tensor
    bitmaps: Tensor
    is_missing: Tensor | None

    def __len__(self) -> int:
        return len(self.labels)


@config
class Points:
    """Random points of a mask, instead of all pixels.

    Matching compares masks at ``count`` points, the same for all masks of an image. Each matched
    mask is trained at points of its own.

    Args:
        count: Number of points per mask.
        oversampling: Ratio of random points from which the most uncertain are selected.
        uncertain_part: Fraction of the points that are the most uncertain; others are random.
    """

    count: PositiveInt = 12544
    oversampling: PositiveFloat = 3.0
    uncertain_part: UnitFloat = 0.75

    def __post_init__(self) -> None:
        if self.oversampling < self.uncertain_part:
            raise ConfigError(
                f"oversampling: {self.oversampling:g} times as many points are fewer than the part "
                f"of {self.uncertain_part:g} that is selected from them"
            )


@config
class MaskSetLoss:
    """Trains matched queries on their segments, and all other queries as background.

    Args:
        assigner: Matches queries with segments.
        classification_loss: Loss of the classes.
        background_weight: Weight of background queries.
        mask_loss: Loss of the pixels of matched masks.
        dice_loss: Loss of the overlap of matched masks.
        points: Points at which masks are compared. None: at all pixels; of the predicted masks in
            matching, of the input in training.
    """

    assigner: MaskHungarianAssigner = MaskHungarianAssigner()
    classification_loss: ClassificationLoss = SoftmaxCrossEntropy(weight=2.0)
    background_weight: NonNegativeFloat = 0.1
    mask_loss: MaskLoss = MaskCrossEntropy(weight=5.0)
    dice_loss: MaskLoss = MaskDiceLoss(weight=5.0)
    points: Points | None = Points()

    def match(self, predictions: MaskQueryPredictions, targets: Sequence[MaskTargets]) -> Tensor:
        """Returns the target index (S, B, Q) of each prediction, negative if it has none."""
        most = max(1, *map(len, targets))
        costs = []
        for image, target in enumerate(targets):
            bitmaps = target.bitmaps[:, None].float()  # once for all stages
            of_stages = [
                self._cost(logits[image].float(), masks[image].float(), target, bitmaps)
                for logits, masks in zip(predictions.logits, predictions.masks)
            ]
            costs.append(F.pad(torch.stack(of_stages), (0, most - len(target))))
        (index,) = solve([torch.stack(costs, 1)], [len(target) for target in targets])
        return index

    @torch.no_grad()
    def _cost(self, logits: Tensor, masks: Tensor, target: MaskTargets, bitmaps: Tensor) -> Tensor:
        """The cost (Q, N) of one stage and image: logits (Q, K), masks (Q, h, w), bitmaps (N, 1, H,
        W).
        """
        if len(target) == 0:
            return logits.new_zeros((len(logits), 0))
        if self.points is None:
            pixels, wanted = masks.flatten(1), F.interpolate(bitmaps, masks.shape[1:]).flatten(1)
        else:
            points = torch.rand((1, self.points.count, 2), device=masks.device)
            # All masks at the same points: as channels of one map.
            pixels = sample_points(masks[None], points.to(masks.dtype))[0]
            wanted = sample_points(bitmaps.transpose(0, 1), points.to(bitmaps.dtype))[0]
        return self.assigner.cost(logits, pixels, target.labels, wanted, target.is_missing)

    def __call__(
        self, predictions: MaskQueryPredictions, index: Tensor, targets: Sequence[MaskTargets]
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_mask`` and ``loss_dice`` of each stage, (S,), for a matching."""
        logits = predictions.logits.float()
        background = logits.shape[3] - self.classification_loss.num_outputs(0)
        labels = torch.full_like(index, background)
        learned = index >= 0
        for image, target in enumerate(targets):
            if len(target) == 0:
                continue
            own = index[:, image].clamp(min=0)
            labels[:, image] = torch.where(learned[:, image], target.labels[own], background)
            if target.is_missing is not None:
                learned[:, image] &= ~target.is_missing[own]
        num_matched = sum(min(len(target), logits.shape[2]) for target in targets)
        counts = average_over_processes(learned.sum((1, 2)).float()).clamp(min=1)
        of_masks = [
            self._mask_losses(masks, own, is_learned, targets)
            for masks, own, is_learned in zip(predictions.masks, index, learned.cpu())
        ]
        of_pixels, of_overlaps = (torch.stack(values) for values in zip(*of_masks))
        of_classes = classification_losses(
            self.classification_loss, logits, labels, num_matched, self.background_weight
        )
        return {
            "loss_cls": of_classes,
            "loss_mask": of_pixels / counts,
            "loss_dice": of_overlaps / counts,
        }

    def _mask_losses(
        self, masks: Tensor, index: Tensor, learned: Tensor, targets: Sequence[MaskTargets]
    ) -> tuple[Tensor, Tensor]:
        """The sums of both losses in one stage: masks (B, Q, h, w), target index (B, Q), of which
        those of ``learned`` (B, Q), on the host, are trained on.
        """
        chosen, wanted = [], []
        for image, target in enumerate(targets):
            queries = learned[image].nonzero()[:, 0].to(index.device, non_blocking=True)
            chosen.append(masks[image, queries].float())
            wanted.append(target.bitmaps[index[image, queries]])
        predicted = torch.cat(chosen)[:, None]  # (M, 1, h, w)
        if len(predicted) == 0:
            # Zero, so that all parameters get gradients.
            return predicted.sum(), predicted.sum()
        truth = torch.cat(wanted)[:, None].to(predicted.dtype)  # (M, 1, H, W)
        if self.points is None:
            predicted = F.interpolate(predicted, truth.shape[2:], mode="bilinear").flatten(1)
            truth = truth.flatten(1)
        else:
            points = draw_uncertain_points(
                predicted[:, 0],
                self.points.count,
                oversampling=self.points.oversampling,
                uncertain_part=self.points.uncertain_part,
            ).to(predicted.dtype)
            predicted = sample_points(predicted, points)[:, 0]
            truth = sample_points(truth, points)[:, 0]
        pixels = self.mask_loss.weighted(predicted, truth)
        return pixels.sum(), self.dice_loss.weighted(predicted, truth).sum()
