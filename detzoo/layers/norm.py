"""Normalization layers: PyTorch's own, and batch norms that PyTorch does not have."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from typing_extensions import Self

from detzoo.config import Channels, ConfigError, NonNegativeFloat, PositiveFloat, UnitFloat, config
from detzoo.ops.distributed import num_processes

NormLayer: TypeAlias = nn.BatchNorm2d | nn.GroupNorm


@config
class NormConfig(ABC):
    """Base class of the normalization layers that follow convolutions."""

    @property
    @abstractmethod
    def child_name(self) -> str:
        """The name of the layer in published checkpoints: ``bn``, ``gn``."""

    @abstractmethod
    def build(self, channels: int) -> NormLayer:
        """Builds the layer for maps with ``channels``, with a learned scale ``weight`` (C,)."""

    def from_scratch(self) -> Self:
        """Returns the same norm for training without pretrained weights."""
        return self


@config
class BatchNormConfig(NormConfig):
    """Batch normalization (https://arxiv.org/abs/1502.03167).

    Args:
        trainable: Whether weight and bias are trained.
        fixed_statistics: Whether training also normalizes with the running statistics.
        synchronized: Whether statistics are computed over the images of all processes.
        eps: Added to the variance; 0 only with fixed statistics.
        momentum: Weight of the current batch in the running statistics.
    """

    trainable: bool = True
    fixed_statistics: bool = False
    synchronized: bool = False
    eps: NonNegativeFloat = 1e-5
    momentum: UnitFloat = 0.1

    def __post_init__(self) -> None:
        if self.eps == 0 and not self.fixed_statistics:
            raise ConfigError("eps: 0 requires fixed_statistics; a batch may have zero variance")

    @property
    def child_name(self) -> str:
        return "bn"

    def build(self, channels: int) -> NormLayer:
        if self.fixed_statistics:
            kind: type[nn.BatchNorm2d] = FixedBatchNorm2d
        else:
            kind = SynchronizedBatchNorm2d if self.synchronized else nn.BatchNorm2d
        norm = kind(channels, self.eps, self.momentum)
        norm.requires_grad_(self.trainable)
        return norm

    def from_scratch(self) -> Self:
        eps = self.eps or BatchNormConfig().eps
        return dataclasses.replace(self, trainable=True, fixed_statistics=False, eps=eps)


@config
class GroupNormConfig(NormConfig):
    """Group normalization (https://arxiv.org/abs/1803.08494).

    Args:
        groups: Number of groups that the channels are divided into.
        eps: Added to the variance.
    """

    groups: Channels = 32
    eps: PositiveFloat = 1e-5

    @property
    def child_name(self) -> str:
        return "gn"

    def build(self, channels: int) -> NormLayer:
        return nn.GroupNorm(self.groups, channels, self.eps)


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization over the images of all processes, on any device."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Skips the check: inputs are always maps, and the check breaks symbolic tracing."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or num_processes() == 1:
            return super().forward(x)
        # Map sizes may differ between processes, so counts are also summed.
        values = x.float()
        count = torch.full_like(values[0, :1, 0, 0], values.numel() / values.shape[1])
        sums = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count])
        total, squares, count = all_reduce(sums).split([x.shape[1], x.shape[1], 1])
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization that is always in evaluation mode: its running statistics are fixed."""

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__(channels, eps, momentum)
        self.train()

    def _check_input_dim(self, input: Tensor) -> None:
        """Skips the check: inputs are always maps, and the check breaks symbolic tracing."""

    def train(self, mode: bool = True) -> Self:
        return super().train(False)
