"""Random sampling of training examples."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.samplers.base import Sampler


@config
class RandomSampler(Sampler):
    """Draws with equal probability."""

    def priority(self, losses: Tensor | None, like: Tensor) -> Tensor:
        return torch.rand_like(like)
