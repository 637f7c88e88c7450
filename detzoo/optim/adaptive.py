"""Optimizers with a learning rate of each parameter's own, other than Adam and AdamW.

Their formulas, and the meaning of ``weight_decay``, which is added to the gradient, are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from detzoo.config import NonNegativeFloat, PositiveFloat, config
from detzoo.optim.optimizers import Momentum, MovingAverageConfig, OptimizerConfig


@config
class AdagradConfig(OptimizerConfig):
    """Adagrad (https://jmlr.org/papers/v12/duchi11a.html).

    Args:
        lr_decay: The learning rate is divided by one plus this times the number of steps.
        initial_accumulator: Start of the sums of squared gradients.
        eps: Added to the denominator of each step.
    """

    weight_decay: NonNegativeFloat = 0.0
    lr_decay: NonNegativeFloat = 0.0
    initial_accumulator: NonNegativeFloat = 0.0
    eps: PositiveFloat = 1e-10

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        # Its fused kernel is for CPUs alone.
        return torch.optim.Adagrad(
            groups,
            lr=self.lr,
            lr_decay=self.lr_decay,
            initial_accumulator_value=self.initial_accumulator,
            eps=self.eps,
        )


@config
class AdamaxConfig(MovingAverageConfig):
    """Adamax, Adam with the infinity norm (https://arxiv.org/abs/1412.6980).

    Args:
        betas: Decay rates of the moving average of the gradient and of its infinity norm.
        eps: Added to the denominator of each step.
    """

    weight_decay: NonNegativeFloat = 0.0

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.Adamax(groups, lr=self.lr, betas=self.betas, eps=self.eps)


@config
class NAdamConfig(MovingAverageConfig):
    """Adam with Nesterov momentum (https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ).

    Args:
        momentum_decay: How fast the momentum reaches the first of ``betas``.
    """

    weight_decay: NonNegativeFloat = 0.0
    momentum_decay: NonNegativeFloat = 4e-3

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.NAdam(
            groups, lr=self.lr, betas=self.betas, eps=self.eps, momentum_decay=self.momentum_decay
        )


@config
class RAdamConfig(MovingAverageConfig):
    """Rectified Adam (https://arxiv.org/abs/1908.03265)."""

    weight_decay: NonNegativeFloat = 0.0

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.RAdam(groups, lr=self.lr, betas=self.betas, eps=self.eps)


@config
class RMSpropConfig(OptimizerConfig):
    """RMSprop (https://arxiv.org/abs/1308.0850).

    Args:
        alpha: Decay rate of the moving average of the squared gradient.
        eps: Added to the denominator of each step.
        momentum: Momentum; 0: none.
        centered: Whether gradients are divided by their standard deviation instead of their root
            mean square.
    """

    weight_decay: NonNegativeFloat = 0.0
    alpha: Momentum = 0.99
    eps: PositiveFloat = 1e-8
    momentum: Momentum = 0.0
    centered: bool = False

    @property
    def scheduled_momentum(self) -> float | None:
        return self.momentum or None

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(
            groups,
            lr=self.lr,
            alpha=self.alpha,
            eps=self.eps,
            momentum=self.momentum,
            centered=self.centered,
        )
