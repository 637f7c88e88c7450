"""Losses between what a student and its teacher predict (https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from detzoo.config import PositiveFloat, config
from detzoo.losses.base import Loss


@config
class DistillationLoss(Loss):
    """Kullback-Leibler divergence of a distribution from the teacher's, both softened, averaged
    over its values.

    Args:
        temperature: What logits are divided by; the loss is multiplied by its square, so that
            gradients keep their size.
    """

    temperature: PositiveFloat = 10.0

    def per_example(self, logits: Tensor, taught: Tensor, /) -> Tensor:
        """Logits (..., n) of both -> (...)."""
        own = (logits / self.temperature).log_softmax(-1)
        wanted = (taught.detach() / self.temperature).softmax(-1)
        divergence = F.kl_div(own, wanted, reduction="none").mean(-1)
        return divergence * self.temperature**2
