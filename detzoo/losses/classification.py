"""Classification losses. Labels 0..C-1 are classes, C is background."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.config import ConfigError, NonNegativeFloat, UnitFloat, config
from detzoo.losses.base import Loss
from detzoo.losses.scoring import Scoring, SigmoidScoring, SoftmaxScoring
from detzoo.ops.constants import constant
from detzoo.structures import Losses


@config
class ClassificationLoss(Loss, Scoring):
    """A loss between class logits (N, K) and labels (N,), and the conversion to scores."""

    def build(self, num_classes: int) -> ClassificationLoss:
        """Returns what computes the loss: itself, since it has no state."""
        return self

    def losses(self, logits: Tensor, labels: Tensor, count: Tensor) -> Losses:
        """Computes the losses of regions with logits (R, K) and labels (R,): sums divided by
        ``count``.
        """
        accuracy = 100 * (logits.argmax(1) == labels).sum() / max(len(labels), 1)
        return Losses(loss_cls=self(logits, labels) / count, metrics={"acc": accuracy})


@config
class SoftmaxCrossEntropy(SoftmaxScoring, ClassificationLoss):
    """Cross entropy over C classes and background.

    Args:
        class_weights: Weight of an example of each class, and of background, the last; None: 1.
    """

    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def per_example(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        weights = _class_weights(self.class_weights, logits, "classes, and one of background")
        return F.cross_entropy(logits, labels, weights, reduction="none")


@config
class SigmoidCrossEntropy(SigmoidScoring, ClassificationLoss):
    """Binary cross entropy, summed over classes.

    Args:
        class_weights: Weight of the answer to its own class, for the examples of each; None: 1.
    """

    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def per_example(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        is_class = labels < logits.shape[1]
        row = labels.clamp(max=logits.shape[1] - 1)
        own = logits.gather(1, row[:, None])[:, 0]
        weights = _class_weights(self.class_weights, logits, "classes")
        if weights is not None:
            own = own + (1 - weights[row]) * F.softplus(-own)
        return F.softplus(logits).sum(1) - torch.where(is_class, own, 0.0)


@config
class FocalLoss(SigmoidScoring, ClassificationLoss):
    """Focal loss, summed over classes (https://arxiv.org/abs/1708.02002).

    Args:
        gamma: Focusing parameter, the exponent of the error; larger values down-weight easy
            samples.
        alpha: Weight of positives; negatives have 1 - alpha.
    """

    gamma: NonNegativeFloat = 2.0
    alpha: UnitFloat = 0.25

    def per_example(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        # Almost all targets are 0: compute that for all, then replace one logit per object.
        is_class = labels < logits.shape[1]
        own = logits.gather(1, labels.clamp(max=logits.shape[1] - 1)[:, None])[:, 0]
        exchange = self._positive(own) - self._negative(own)
        return self._negative(logits).sum(1) + torch.where(is_class, exchange, 0.0)

    def weighted_per_class(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of each logit (N, C), multiplied by the loss's own weight."""
        own = F.one_hot(labels, logits.shape[1] + 1)[:, :-1].bool()
        return self.weight * torch.where(own, self._positive(logits), self._negative(logits))

    def _negative(self, logits: Tensor) -> Tensor:
        return (1 - self.alpha) * logits.sigmoid().pow(self.gamma) * F.softplus(logits)

    def _positive(self, logits: Tensor) -> Tensor:
        return self.alpha * (-logits).sigmoid().pow(self.gamma) * F.softplus(-logits)


@config
class BackgroundCrossEntropy(SoftmaxScoring, SigmoidCrossEntropy):
    """Binary cross entropy of C classes and of background as one more; scores are a softmax.

    MMDetection's RoI heads train it where a loss with sigmoids is given. ``class_weights`` has a
    value for background, the last.
    """


@config
class BackgroundFocalLoss(SoftmaxScoring, FocalLoss):
    """Focal loss of C classes and of background as one more; scores are a softmax.

    MMDetection's RoI heads train it where focal loss is given.
    """


def _class_weights(
    weights: tuple[float, ...] | None, logits: Tensor, meaning: str
) -> Tensor | None:
    """``weights`` for the columns of ``logits`` (N, K)."""
    if weights is None:
        return None
    if len(weights) != logits.shape[1]:
        raise ConfigError(
            f"class_weights: has {len(weights)} values, but there are {logits.shape[1]} {meaning}"
        )
    return constant(weights, logits.device, logits.dtype)
