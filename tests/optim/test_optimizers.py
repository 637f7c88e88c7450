from __future__ import annotations

import pytest
import torch
from torch import nn

from detzoo.errors import ConfigError
from detzoo.layers.convolution import DeformConv2d
from detzoo.optim.adaptive import (
    AdagradConfig,
    AdamaxConfig,
    NAdamConfig,
    RAdamConfig,
    RMSpropConfig,
)
from detzoo.optim.optimizers import (
    AdamConfig,
    AdamWConfig,
    OptimizerConfig,
    ParameterGroup,
    ParameterRule,
    SGDConfig,
)


class Toy(nn.Module):
    """One parameter of each kind; the stem is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
        self.head = nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4))
        for parameter in self.backbone[:2].parameters():
            parameter.requires_grad_(False)


def settings(config: OptimizerConfig) -> dict[str, tuple[float, float]]:
    return {
        name: (group.lr, group.weight_decay)
        for group in config.parameter_groups(Toy())
        for name in group.names
    }


def test_without_rules_there_is_one_group_with_frozen_parameters_listed() -> None:
    names = tuple(name for name, _ in Toy().named_parameters())
    assert SGDConfig(lr=0.1).parameter_groups(Toy()) == [ParameterGroup(0.1, 1e-4, names)]


def test_norm_decay_applies_to_trained_norms_only() -> None:
    found = settings(SGDConfig(lr=0.1, weight_decay=0.5, norm_weight_decay_scale=0.0))
    without_decay = {name for name, (_, decay) in found.items() if decay == 0}
    assert without_decay == {"head.1.weight", "head.1.bias"}


def test_bias_scales_leave_norms_and_frozen_biases_alone() -> None:
    found = settings(
        SGDConfig(lr=0.1, weight_decay=0.5, bias_lr_scale=2.0, bias_weight_decay_scale=0.0)
    )
    scaled = {name for name, value in found.items() if value == (0.2, 0.0)}
    assert scaled == {"backbone.2.bias", "head.0.bias"}
    assert {value for name, value in found.items() if name not in scaled} == {(0.1, 0.5)}


def test_the_longest_rule_wins_over_others_and_over_the_general_scales() -> None:
    rules = (
        ParameterRule(name="head", lr_scale=0.1),
        ParameterRule(name="head.1", weight_decay_scale=0.25),
    )
    config = SGDConfig(
        lr=1.0, weight_decay=0.5, rules=rules, norm_weight_decay_scale=0.0, bias_lr_scale=2.0
    )
    found = settings(config)
    assert found["head.0.weight"] == found["head.0.bias"] == (0.1, 0.5)
    assert found["head.1.weight"] == found["head.1.bias"] == (1.0, 0.125)
    assert found["backbone.2.bias"] == (2.0, 0.5)


def test_depthwise_convolutions_and_offsets_of_deformable_ones() -> None:
    """A convolution called ``conv_offset`` elsewhere is one like any other."""
    model = nn.Module()
    model.deep = nn.Conv2d(4, 8, 3, groups=4)
    place = (4, 4, 3, 1, 1, 1, 4, True)
    model.dcn = DeformConv2d(*place, deformable_groups=1, modulated=True)
    model.guided = nn.Module()
    model.guided.conv_offset = nn.Conv2d(4, 2, 1)
    config = SGDConfig(
        lr=1.0,
        weight_decay=1.0,
        bias_lr_scale=2.0,
        bias_weight_decay_scale=0.5,
        depthwise_weight_decay_scale=0.25,
        offset_lr_scale=0.1,
    )
    found = {
        name: (group.lr, group.weight_decay)
        for group in config.parameter_groups(model)
        for name in group.names
    }
    assert found == {
        "deep.weight": (1.0, 0.25),
        "deep.bias": (2.0, 0.25),
        "dcn.weight": (1.0, 1.0),
        "dcn.bias": (2.0, 0.5),
        "dcn.conv_offset.weight": (0.1, 1.0),
        "dcn.conv_offset.bias": (0.1, 1.0),
        "guided.conv_offset.weight": (1.0, 1.0),
        "guided.conv_offset.bias": (2.0, 0.5),
    }


@pytest.mark.parametrize(
    "config",
    [
        SGDConfig(lr=0.1),
        AdamConfig(lr=0.1),
        AdamWConfig(lr=0.1),
        AdagradConfig(lr=0.1),
        AdamaxConfig(lr=0.1),
        NAdamConfig(lr=0.1),
        RAdamConfig(lr=0.1),
        RMSpropConfig(lr=0.1),
    ],
)
def test_the_optimizer_holds_trained_parameters_only(config: OptimizerConfig) -> None:
    model = Toy()
    optimizer = config.build(model)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters() if p.requires_grad}


def test_groups_of_frozen_parameters_are_left_out() -> None:
    model = Toy()
    model.backbone.requires_grad_(False)
    config = SGDConfig(lr=0.1, rules=(ParameterRule(name="head", lr_scale=0.5),))
    assert [group["lr"] for group in config.build(model).param_groups] == [0.05]


def test_sgd_step_equals_the_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = SGDConfig(lr=0.1, momentum=0.5, weight_decay=0.25).build(model)
    weight, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0):
        model.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        velocity = 0.5 * velocity + gradient + 0.25 * weight
        weight -= 0.1 * velocity
    assert model.weight.item() == pytest.approx(weight)


def test_dampening_leaves_out_a_part_of_each_gradient_but_the_first() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    config = SGDConfig(lr=0.1, momentum=0.5, weight_decay=0.0, dampening=0.75)
    optimizer = config.build(model)
    for gradient in (1.0, 4.0):
        model.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    assert model.weight.item() == pytest.approx(2.0 - 0.1 * 1.0 - 0.1 * (0.5 + 0.25 * 4.0))
    with pytest.raises(ConfigError, match="nesterov: requires a momentum"):
        SGDConfig(lr=0.1, nesterov=True, dampening=0.1)


# The first step, by each one's formula: from 2 with gradient 3, at a rate of 0.1.
FIRST_STEPS: list[tuple[OptimizerConfig, float]] = [
    (AdagradConfig(lr=0.1, initial_accumulator=16.0), 2 - 0.1 * 3 / 5),
    (AdamaxConfig(lr=0.1, weight_decay=0.5), 2 - 0.1),
    (NAdamConfig(lr=0.1, betas=(0.9, 0.999), momentum_decay=0.0),
     2 - 0.1 * ((1 - 0.9 * 0.5) / (1 - 0.9 * 0.5) + 0.9 * 0.5 * 0.1 / (1 - (0.9 * 0.5) ** 2))),
    (RAdamConfig(lr=0.1), 2 - 0.1 * 3),  # no variance is known yet
    (RMSpropConfig(lr=0.1, alpha=0.75), 2 - 0.1 / 0.5),
    (RMSpropConfig(lr=0.1, alpha=0.75, centered=True), 2 - 0.1 * 3 / (9 / 4 - 9 / 16) ** 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("config", "wanted"), FIRST_STEPS)
def test_first_steps(config: OptimizerConfig, wanted: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = config.build(model)
    model.weight.grad = torch.full((1, 1), 3.0)
    optimizer.step()
    assert model.weight.item() == pytest.approx(wanted)


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = AdamWConfig(lr=0.1, weight_decay=0.5).build(model)
    model.weight.grad = torch.full((1, 1), 7.0)
    optimizer.step()
    # The first step of Adam is the sign of the gradient.
    assert model.weight.item() == pytest.approx(2.0 - 0.1 * 0.5 * 2.0 - 0.1)
