"""Seesaw loss for long-tailed class distributions (https://arxiv.org/abs/2008.10032)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import NonNegativeFloat, config
from detzoo.losses.scoring import Scoring
from detzoo.ops.distributed import average_over_processes, num_processes
from detzoo.structures import Losses


@config
class SeesawLossConfig:
    """Softmax over the classes, and a separate softmax over object and background.

    The penalty of a rare class is mitigated for samples of more frequent classes, and increased for
    samples misclassified as it.

    Args:
        weight: Factor of the loss.
        mitigation: Mitigation factor, the exponent of the ratio of two classes' sample counts.
        compensation: Compensation factor, the exponent of the ratio of two classes' probabilities.
    """

    weight: NonNegativeFloat = 1.0
    mitigation: NonNegativeFloat = 0.8
    compensation: NonNegativeFloat = 2.0

    def build(self, num_classes: int) -> SeesawLoss:
        return SeesawLoss(self, num_classes)


class SeesawLoss(nn.Module, Scoring):
    """The logits are those of C classes, then object and background.

    Buffer ``cum_samples`` (C + 1,) counts the regions of each class, and of background, that were
    trained on.
    """

    # Lower bound of the probability of the true class.
    eps = 1e-2

    cum_samples: Tensor

    def __init__(self, config: SeesawLossConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.register_buffer("cum_samples", torch.zeros(num_classes + 1))

    def num_outputs(self, num_classes: int) -> int:
        return num_classes + 2

    def scores(self, logits: Tensor) -> Tensor:
        is_object = logits[..., -2:].softmax(-1)[..., :1]
        return logits[..., :-2].softmax(-1) * is_object

    def above(self, logits: Tensor, min_score: float) -> Tensor:
        return self.scores(logits) > min_score

    def losses(self, logits: Tensor, labels: Tensor, count: Tensor) -> Losses:
        """Computes the losses of regions with logits (R, C + 2) and labels (R,): sums divided by
        ``count``.
        """
        self._count(labels)
        is_object = labels < self.num_classes
        class_loss, object_loss = self._per_example(logits, labels)
        right_object = logits[:, -2:].argmax(1) == (~is_object).long()
        right_class = is_object & (logits[:, :-2].argmax(1) == labels)
        return Losses(
            loss_cls_objectness=self.config.weight * object_loss.sum() / count,
            loss_cls_classes=self.config.weight * class_loss.sum() / count,
            metrics={
                "acc_objectness": 100 * right_object.sum() / max(len(labels), 1),
                "acc_classes": 100 * right_class.sum() / is_object.sum().clamp(min=1),
            },
        )

    def per_example(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of each sample (R,), without the loss's own weight."""
        class_loss, object_loss = self._per_example(logits, labels)
        return class_loss + object_loss

    def _per_example(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The losses of classes (R,), zero for background, and of object or background (R,)."""
        is_object = labels < self.num_classes
        object_loss = F.cross_entropy(logits[:, -2:], (~is_object).long(), reduction="none")
        classes = labels.clamp(max=self.num_classes - 1)
        others = 1 - F.one_hot(classes, self.num_classes)
        shift = self._class_weights(logits[:, :-2].detach(), classes).log() * others
        class_loss = F.cross_entropy(logits[:, :-2] + shift, classes, reduction="none")
        return class_loss * is_object, object_loss

    def _class_weights(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weights of classes relative to the true one: logits (R, C), labels (R,) -> (R, C)."""
        samples = self.cum_samples[:-1].clamp(min=1)
        ratio = samples[None] / samples[labels, None]
        probability = logits.softmax(1)
        own = probability.gather(1, labels[:, None]).clamp(min=self.eps)
        excess = (probability / own).clamp(min=1)
        return ratio.clamp(max=1).pow(self.config.mitigation) * excess.pow(self.config.compensation)

    def _count(self, labels: Tensor) -> None:
        seen = torch.zeros_like(self.cum_samples)
        seen.index_add_(0, labels, torch.ones_like(labels, dtype=seen.dtype))
        self.cum_samples += average_over_processes(seen) * num_processes()
