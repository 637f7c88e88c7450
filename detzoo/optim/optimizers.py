"""Optimizers and the learning rates and weight decays of parameters.

The settings of a parameter depend on its name and its module. Parameters with equal settings share
one group, so that a fused optimizer step needs only a few kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn

from detzoo.config import (
    ConfigError,
    NonNegativeFloat,
    PositiveFloat,
    Range,
    UnitFloat,
    config,
)
from detzoo.layers.convolution import DeformConv2d
from detzoo.optim.layer_decay import LayerDecay

# With 1, a moving average would never change.
Momentum = Annotated[float, Range(0, 1, below=True)]

NORM_LAYERS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
)


@config
class ParameterRule:
    """Scales the learning rate and weight decay of some parameters.

    If several rules match a parameter, only the one with the longest name applies, and none of the
    optimizer's scales of norms and biases.

    Args:
        name: Part of the full names of the parameters, such as ``backbone``.
        lr_scale: Factor of the learning rate.
        weight_decay_scale: Factor of the weight decay.
    """

    name: str
    lr_scale: NonNegativeFloat = 1.0
    weight_decay_scale: NonNegativeFloat = 1.0


@dataclass(frozen=True)
class ParameterGroup:
    """The full ``names`` of parameters with the same ``lr`` and ``weight_decay``."""

    lr: float
    weight_decay: float
    names: tuple[str, ...]


@config
class OptimizerConfig(ABC):
    """Base class of optimizers.

    Args:
        lr: Learning rate at the reference batch size of the recipe.
        weight_decay: Weight decay.
        rules: Learning rates and weight decays of parameters chosen by name.
        norm_weight_decay_scale: Factor of the weight decay of normalization layers.
        bias_lr_scale: Factor of the learning rate of biases, except in normalization layers and in
            the offsets of deformable convolutions.
        bias_weight_decay_scale: Factor of the weight decay of the same biases.
        depthwise_weight_decay_scale: Factor of the weight decay of depthwise convolutions.
        offset_lr_scale: Factor of the learning rate of the offsets of deformable convolutions.
        layer_decay: Layer-wise learning rate decay of the backbone. It replaces all rules and
            scales; None: no layer-wise decay.
    """

    lr: NonNegativeFloat
    weight_decay: NonNegativeFloat = 1e-4
    rules: tuple[ParameterRule, ...] = ()
    norm_weight_decay_scale: NonNegativeFloat = 1.0
    bias_lr_scale: NonNegativeFloat = 1.0
    bias_weight_decay_scale: NonNegativeFloat = 1.0
    depthwise_weight_decay_scale: NonNegativeFloat = 1.0
    offset_lr_scale: NonNegativeFloat = 1.0
    layer_decay: LayerDecay | None = None

    @property
    def scheduled_momentum(self) -> float | None:
        """What a schedule of the momentum changes: the momentum, or the first of ``betas``; None
        if there is none."""
        return None

    def parameter_groups(self, model: nn.Module) -> list[ParameterGroup]:
        """Groups all parameters of ``model``, frozen ones as well, by equal settings.

        Scales apply to trained parameters only: frozen ones are listed without them.
        """
        if self.layer_decay is not None:
            self.layer_decay.require(model)
        names: dict[tuple[float, float], list[str]] = {}
        owners = dict(model.named_modules())
        for name, parameter in model.named_parameters():
            settings = (self.lr, self.weight_decay)
            if parameter.requires_grad and self.layer_decay is not None:
                decays = self.layer_decay.decays(name, parameter)
                scale = self.layer_decay.lr_scale(name)
                settings = (self.lr * scale, self.weight_decay if decays else 0.0)
            elif parameter.requires_grad:
                lr_scale, decay_scale = self._scales(name, owners)
                settings = (self.lr * lr_scale, self.weight_decay * decay_scale)
            names.setdefault(settings, []).append(name)
        return [ParameterGroup(*settings, tuple(group)) for settings, group in names.items()]

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """Builds the optimizer of the parameters that require gradients; ``model`` must already be
        on its device.
        """
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

    def _scales(self, name: str, modules: Mapping[str, nn.Module]) -> tuple[float, float]:
        """Factors of the learning rate and the weight decay of the parameter with this name."""
        for rule in sorted(self.rules, key=lambda rule: (-len(rule.name), rule.name)):
            if rule.name in name:
                return rule.lr_scale, rule.weight_decay_scale
        path, _, leaf = name.rpartition(".")
        parent, _, child = path.rpartition(".")
        owner = modules[path]
        if child == "conv_offset" and isinstance(modules[parent], DeformConv2d):
            return self.offset_lr_scale, 1.0
        if isinstance(owner, NORM_LAYERS):
            return 1.0, self.norm_weight_decay_scale
        is_bias = leaf == "bias"
        lr = self.bias_lr_scale if is_bias else 1.0
        if _is_depthwise(owner) and leaf != "branch_weights":
            return lr, self.depthwise_weight_decay_scale
        return lr, self.bias_weight_decay_scale if is_bias else 1.0


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Sets the momentum of a group of parameters, or the first of its ``betas``."""
    if "momentum" in group:
        group["momentum"] = value
    else:
        group["betas"] = (value, group["betas"][1])


def _is_depthwise(module: nn.Module) -> bool:
    is_plain = isinstance(module, nn.Conv2d) and not isinstance(module, DeformConv2d)
    return is_plain and module.in_channels == module.groups


@config
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient.

    Args:
        momentum: Momentum; 0: none.
        nesterov: Whether to use Nesterov momentum.
        dampening: Part of each gradient that the momentum leaves out.
    """

    momentum: Momentum = 0.9
    nesterov: bool = False
    dampening: UnitFloat = 0.0

    def __post_init__(self) -> None:
        if self.nesterov and (self.momentum == 0 or self.dampening > 0):
            raise ConfigError("nesterov: requires a momentum greater than 0 and no dampening")

    @property
    def scheduled_momentum(self) -> float | None:
        return self.momentum or None

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            dampening=self.dampening,
            fused=fused,
        )


@config
class MovingAverageConfig(OptimizerConfig):
    """Base of Adam and its kind.

    Args:
        betas: Decay rates of the moving averages of the gradient and of its square.
        eps: Added to the denominator of each step.
    """

    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8

    @property
    def scheduled_momentum(self) -> float | None:
        return self.betas[0] or None


@config
class AdamWConfig(MovingAverageConfig):
    """Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101).

    Args:
        amsgrad: Whether to use the running maximum of the average squared gradient (AMSGrad).
    """

    amsgrad: bool = False

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            groups,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            amsgrad=self.amsgrad,
            fused=fused,
        )


@config
class AdamConfig(MovingAverageConfig):
    """Adam (https://arxiv.org/abs/1412.6980); weight decay is added to the gradient.

    Args:
        amsgrad: Whether to use the running maximum of the average squared gradient (AMSGrad).
    """

    weight_decay: NonNegativeFloat = 0.0
    amsgrad: bool = False

    def _build(self, groups: Sequence[dict[str, Any]], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            groups,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            amsgrad=self.amsgrad,
            fused=fused,
        )
