"""Exponential moving average of a model's weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from detzoo.config import NonNegativeInt, PositiveUnitFloat, config


@config
class EMAConfig:
    """Exponential moving average (EMA) of the weights, which is evaluated and saved for inference.

    Args:
        momentum: Weight of the current weights in each update; the average keeps the rest.
        warmup: Steps within which the momentum reaches its value; 0: it is constant.
        kind: How it does: "exponential": it decays from 1; "linear": it grows from one over
            ``warmup``, with ever smaller steps.
    """

    momentum: PositiveUnitFloat = 0.0001
    warmup: NonNegativeInt = 2000
    kind: Literal["exponential", "linear"] = "exponential"

    def momentum_at(self, step: int) -> float:
        """The momentum of the given step, counted from 0."""
        if self.warmup == 0:
            return self.momentum
        if self.kind == "linear":
            return min(self.momentum, (1 + step) / (self.warmup + step))
        return (1 - self.momentum) * math.exp(-(1 + step) / self.warmup) + self.momentum

    def build(self, model: nn.Module) -> WeightAverage:
        """Creates an average, initialized with the weights of ``model``."""
        return WeightAverage(self, model)


class WeightAverage:
    """The average of a model's parameters and floating-point buffers, under their own names."""

    def __init__(self, config: EMAConfig, model: nn.Module) -> None:
        self.config = config
        self.steps = 0
        self.average = {name: value.clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Updates the average with the weights after an optimizer step."""
        momentum = self.config.momentum_at(self.steps)
        self.steps += 1
        averages: list[Tensor] = []
        values: list[Tensor] = []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.average[name])
                values.append(value)
            else:  # counters, such as the number of batches that a norm has seen
                self.average[name].copy_(value)
        torch._foreach_lerp_(averages, values, momentum)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchanges the model's weights and their average; a second call exchanges them back."""
        for name, value in model.state_dict().items():
            weight = value.clone()
            value.copy_(self.average[name])
            self.average[name].copy_(weight)
