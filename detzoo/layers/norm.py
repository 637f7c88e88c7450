"""Normalisation layers, and how they follow a convolution."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from detzoo.config import config


@config
class Norm(ABC):
    """Which normalisation follows each convolution."""

    @abstractmethod
    def build(self, channels: int) -> NormLayer:
        """The layer for maps of ``channels``."""


class NormLayer(nn.Module, ABC):
    """A normalisation with one learned scale, ``weight`` (C,), per channel."""

    weight: nn.Parameter

    @abstractmethod
    def follow(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """``conv(x)``, normalised."""


@config
class BatchNorm(Norm):
    """Batch normalisation (https://arxiv.org/abs/1502.03167).

    ``fixed_statistics`` normalises with the running statistics in training too;
    ``trainable`` is whether weight and bias learn.
    """

    trainable: bool = True
    fixed_statistics: bool = False
    eps: float = 1e-5
    momentum: float = 0.1

    def build(self, channels: int) -> NormLayer:
        kind = FixedBatchNorm2d if self.fixed_statistics else BatchNorm2d
        norm = kind(channels, self.eps, self.momentum)
        norm.requires_grad_(self.trainable)
        return norm


class BatchNorm2d(nn.BatchNorm2d, NormLayer):
    """Batch norm that learns its statistics."""

    def follow(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        return self(conv(x))


class FixedBatchNorm2d(nn.BatchNorm2d, NormLayer):
    """Batch norm on running statistics that never change: always in evaluation mode."""

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def follow(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """``norm(conv(x))`` in one convolution.

        With fixed statistics the norm is a scale and a shift per channel. Scaling the kernel is
        far cheaper than scaling its output, forward and backward, and autograd finds the same
        gradients for the norm's weight and bias through the product.
        """
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        kernel = conv.weight * scale[:, None, None, None]
        return F.conv2d(x, kernel, shift, conv.stride, conv.padding, conv.dilation, conv.groups)
