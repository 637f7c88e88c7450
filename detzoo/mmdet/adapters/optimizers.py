"""Optimizers, and which parameters have their own learning rate and weight decay."""

from __future__ import annotations

from typing import Any, Final

from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.optim.adaptive import (
    AdagradConfig,
    AdamaxConfig,
    NAdamConfig,
    RAdamConfig,
    RMSpropConfig,
)
from detzoo.optim.layer_decay import LayerDecay
from detzoo.optim.optimizers import AdamConfig, AdamWConfig, ParameterRule, SGDConfig

# PyTorch's, of which SGD had none.
_RATES: Final = {
    "Adam": 1e-3,
    "AdamW": 1e-3,
    "RAdam": 1e-3,
    "NAdam": 2e-3,
    "Adamax": 2e-3,
    "Adagrad": 1e-2,
    "RMSprop": 1e-2,
}
_HOW_IT_COMPUTES: Final = "how PyTorch computes the same step"


@adapts("optimizer", "SGD")
def sgd(node: Node) -> SGDConfig:
    return SGDConfig(
        **_common(node),
        momentum=float(node.take("momentum", 0.0)),
        nesterov=node.take("nesterov", False),
        dampening=float(node.take("dampening", 0.0)),
    )


@adapts("optimizer", "AdamW")
def adamw(node: Node) -> AdamWConfig:
    return AdamWConfig(**_common(node), **_adam(node), amsgrad=node.take("amsgrad", False))


@adapts("optimizer", "Adam")
def adam(node: Node) -> AdamConfig:
    return AdamConfig(**_common(node), **_adam(node), amsgrad=node.take("amsgrad", False))


@adapts("optimizer", "Adamax")
def adamax(node: Node) -> AdamaxConfig:
    return AdamaxConfig(**_common(node), **_adam(node))


@adapts("optimizer", "RAdam")
def radam(node: Node) -> RAdamConfig:
    return RAdamConfig(**_common(node), **_adam(node))


@adapts("optimizer", "NAdam")
def nadam(node: Node) -> NAdamConfig:
    decay = float(node.take("momentum_decay", 4e-3))
    return NAdamConfig(**_common(node), **_adam(node), momentum_decay=decay)


@adapts("optimizer", "Adagrad")
def adagrad(node: Node) -> AdagradConfig:
    return AdagradConfig(
        **_common(node),
        lr_decay=float(node.take("lr_decay", 0.0)),
        initial_accumulator=float(node.take("initial_accumulator_value", 0.0)),
        eps=float(node.take("eps", 1e-10)),
    )


@adapts("optimizer", "RMSprop")
def rmsprop(node: Node) -> RMSpropConfig:
    return RMSpropConfig(
        **_common(node),
        alpha=float(node.take("alpha", 0.99)),
        eps=float(node.take("eps", 1e-8)),
        momentum=float(node.take("momentum", 0.0)),
        centered=node.take("centered", False),
    )


def _adam(node: Node) -> dict[str, Any]:
    return {
        "betas": node.take("betas", (0.9, 0.999)),
        "eps": float(node.take("eps", 1e-8)),
    }


def _common(node: Node) -> dict[str, Any]:
    for key in ("foreach", "fused", "capturable", "differentiable"):
        node.leave(key, _HOW_IT_COMPUTES)
    node.expect("maximize", False, "as losses are minimized")
    rate = node.take("lr", _RATES[node.type]) if node.type in _RATES else node.take("lr")
    settings: dict[str, Any] = {
        "lr": float(rate),
        "weight_decay": float(node.take("weight_decay", 0.01 if node.type == "AdamW" else 0.0)),
    }
    constructor = node.take("constructor", "DefaultOptimizerConstructor")
    wise = node.optional_child("paramwise_cfg")
    if constructor == "LearningRateDecayOptimizerConstructor" and wise is not None:
        return {**settings, "layer_decay": layer_decay(wise)}
    if constructor != "DefaultOptimizerConstructor":
        raise node.error("constructor", f"detzoo has no {constructor!r}")
    if wise is None:
        return settings
    wise.ignore("bypass_duplicate")
    rules = wise.optional_child("custom_keys")
    names = list(rules.left) if rules is not None else []
    return {
        **settings,
        "rules": tuple(_rule(name, rules.child(name)) for name in names if rules is not None),
        "norm_weight_decay_scale": float(wise.take("norm_decay_mult", 1.0)),
        "bias_lr_scale": float(wise.take("bias_lr_mult", 1.0)),
        "bias_weight_decay_scale": float(wise.take("bias_decay_mult", 1.0)),
        "depthwise_weight_decay_scale": float(wise.take("dwconv_decay_mult", 1.0)),
        "offset_lr_scale": float(wise.take("dcn_offset_lr_mult", 1.0)),
    }


def layer_decay(wise: Node) -> LayerDecay:
    """``paramwise_cfg`` of V2's LearningRateDecayOptimizerConstructor."""
    kind = wise.take("decay_type", "layer_wise")
    if kind not in ("layer_wise", "stage_wise"):
        raise wise.error("decay_type", f"{kind!r} is neither 'layer_wise' nor 'stage_wise'")
    return LayerDecay(
        rate=float(wise.take("decay_rate")),
        by="layer" if kind == "layer_wise" else "stage",
        num_layers=wise.take("num_layers"),
    )


def _rule(name: str, node: Node) -> ParameterRule:
    return ParameterRule(
        name=name,
        lr_scale=float(node.take("lr_mult", 1.0)),
        weight_decay_scale=float(node.take("decay_mult", 1.0)),
    )
