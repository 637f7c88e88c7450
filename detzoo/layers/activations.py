"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Activation = Literal["relu", "relu6", "leaky_relu", "silu", "none"]
LEAK = 0.1  # negative slope of the leaky ReLU, as in Darknet

_FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": partial(F.leaky_relu, negative_slope=LEAK),
    "silu": F.silu,
}


def activate(x: Tensor, activation: Activation) -> Tensor:
    """Applies the activation to ``x``; "none" returns it unchanged."""
    return x if activation == "none" else _FUNCTIONS[activation](x)
