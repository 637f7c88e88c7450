"""Optimizers, and which parameters learn at which rate.

The settings of a parameter follow from its name and from the module that holds it; parameters with
equal settings share one group, so that a fused optimizer step is a handful of kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from detzoo.config import config

NORM_LAYERS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
)


@config
class ParameterRule:
    """Scales for the parameters whose full name contains ``name``, such as ``backbone``.

    Of several rules that match, the one with the longest name applies, and nothing else does: the
    optimizer's own bias and norm scales are for parameters without a rule.
    """

    name: str
    lr_scale: float = 1.0
    weight_decay_scale: float = 1.0


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters, by full name, that learn at rate ``lr`` with ``weight_decay``."""

    lr: float
    weight_decay: float
    names: tuple[str, ...]


@config
class OptimizerConfig(ABC):
    """An optimizer. ``lr`` is the rate for a recipe's reference batch."""

    lr: float
    weight_decay: float = 1e-4
    rules: tuple[ParameterRule, ...] = ()
    # Of normalisation layers, weights and biases alike.
    norm_weight_decay_scale: float = 1.0
    # Of all biases but those of normalisation layers and of deformable convolutions' offsets.
    bias_lr_scale: float = 1.0
    bias_weight_decay_scale: float = 1.0

    def parameter_groups(self, model: nn.Module) -> list[ParameterGroup]:
        """All parameters of ``model``, frozen ones too, by equal settings.

        Scales are for what is trained: a frozen parameter is listed with the plain settings.
        """
        names: dict[tuple[float, float], list[str]] = {}
        owners = dict(model.named_modules())
        for name, parameter in model.named_parameters():
            owner, _, leaf = name.rpartition(".")
            settings = (self.lr, self.weight_decay)
            if parameter.requires_grad:
                is_norm = isinstance(owners[owner], NORM_LAYERS)
                is_bias = leaf == "bias" and not owner.endswith(".conv_offset")
                settings = self._settings(name, is_norm, is_bias)
            names.setdefault(settings, []).append(name)
        return [ParameterGroup(*settings, tuple(group)) for settings, group in names.items()]

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the parameters that require gradients; ``model`` is on its device."""
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        groups: list[dict[str, Any]] = []
        for group in self.parameter_groups(model):
            parameters = [trained[name] for name in group.names if name in trained]
            if parameters:
                groups.append(
                    {"params": parameters, "lr": group.lr, "weight_decay": group.weight_decay}
                )
        devices = {parameter.device.type for parameter in trained.values()}
        return self._build(groups, fused=devices <= {"cpu", "cuda"})

    @abstractmethod
    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer: ...

    def _settings(self, name: str, is_norm: bool, is_bias: bool) -> tuple[float, float]:
        for rule in sorted(self.rules, key=lambda rule: (-len(rule.name), rule.name)):
            if rule.name in name:
                return self.lr * rule.lr_scale, self.weight_decay * rule.weight_decay_scale
        if is_norm:
            return self.lr, self.weight_decay * self.norm_weight_decay_scale
        if is_bias:
            return self.lr * self.bias_lr_scale, self.weight_decay * self.bias_weight_decay_scale
        return self.lr, self.weight_decay


@config
class SGD(OptimizerConfig):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""

    momentum: float = 0.9
    nesterov: bool = False

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=fused
        )


@config
class AdamW(OptimizerConfig):
    """Adam with decoupled weight decay. https://arxiv.org/abs/1711.05101"""

    betas: tuple[float, float] = (0.9, 0.999)

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, fused=fused)


@config
class Adam(OptimizerConfig):
    """Adam (https://arxiv.org/abs/1412.6980); weight decay is added to the gradient."""

    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, lr=self.lr, betas=self.betas, fused=fused)
