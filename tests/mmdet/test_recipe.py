"""Schedules, mixed precision and averages of weights in users' files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from detzoo import zoo
from detzoo.experiment import Experiment
from detzoo.optim.adaptive import (
    AdagradConfig,
    AdamaxConfig,
    NAdamConfig,
    RAdamConfig,
    RMSpropConfig,
)
from detzoo.optim.cycles import Cyclic, OneCycle
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import AdamConfig, OptimizerConfig, ParameterRule, SGDConfig
from detzoo.optim.schedules import (
    Cosine,
    CosineRestart,
    Exponential,
    FlatCosine,
    Inverse,
    MomentumSchedule,
    Poly,
    Schedule,
    Step,
    Warmup,
)
from tests.mmdet.small_files import FASTER, imported

NO_WARMUP: dict[str, Any] = {"length": 12, "warmup": None}
LR = "lr_config = dict(_delete_=True, {})"
SCHEDULES = [
    ("policy='CosineRestart', periods=[3, 9], restart_weights=[1, 0.5], min_lr=2e-4",
     Schedule(policy=CosineRestart(periods=(3, 9), weights=(1.0, 0.5), final_factor=0.01),
              **NO_WARMUP)),
    ("policy='CosineRestart', periods=[9], by_epoch=False",
     Schedule(policy=CosineRestart(periods=(9,)), policy_unit="iterations", **NO_WARMUP)),
    ("policy='FlatCosineAnnealing', start_percent=0.5, min_lr_ratio=0.1, by_epoch=False",
     Schedule(policy=FlatCosine(start=0.5, final_factor=0.1), **NO_WARMUP)),
    ("policy='exp', gamma=0.9", Schedule(policy=Exponential(gamma=0.9), **NO_WARMUP)),
    ("policy='step', step=[8, 11], min_lr=2e-3, by_epoch=True",
     Schedule(policy=Step(least_factor=0.1), **NO_WARMUP)),
    ("policy='CosineAnnealing', min_lr=0, warmup='exp', warmup_iters=2, warmup_ratio=0.01, "
     "warmup_by_epoch=True",
     Schedule(policy=Cosine(), warmup=Warmup(epochs=2, ratio=0.01, kind="exponential"))),
    ("policy='CosineAnealing', min_lr_ratio=0.1, by_epoch=False",
     Schedule(policy=Cosine(final_factor=0.1, per_iteration=True), **NO_WARMUP)),
    ("policy='inv', gamma=0.1, power=0.75",
     Schedule(policy=Inverse(gamma=0.1, power=0.75), **NO_WARMUP)),
    ("policy='poly', power=0.9, min_lr=2e-4, by_epoch=False",
     Schedule(policy=Poly(power=0.9, final_factor=0.01, per_iteration=True), **NO_WARMUP)),
    ("policy='LinearAnnealing', min_lr_ratio=0.01",
     Schedule(policy=Poly(final_factor=0.01), **NO_WARMUP)),
    ("policy='cyclic', target_ratio=(10, 1e-3), cyclic_times=2, step_ratio_up=0.3, gamma=0.5",
     Schedule(policy=Cyclic(final_factor=1e-3, cycles=2, rise=0.3, gamma=0.5), **NO_WARMUP)),
    ("policy='cyclic', target_ratio=5, by_epoch=False, anneal_strategy='linear'",
     Schedule(policy=Cyclic(peak=5.0, final_factor=5e-5, kind="linear"), **NO_WARMUP)),
    ("policy='OneCycle', max_lr=0.1, pct_start=0.2, div_factor=10, three_phase=True",
     Schedule(policy=OneCycle(peak=5.0, rise=0.2, start_divisor=10.0, symmetric=True),
              **NO_WARMUP)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "schedule"), SCHEDULES)
def test_schedules(tmp_path: Path, text: str, schedule: Schedule) -> None:
    assert imported(tmp_path, FASTER, LR.format(text)).to_train().schedule == schedule


def test_milestones_are_counted_as_the_run_is(tmp_path: Path) -> None:
    runner = "runner = dict(_delete_=True, type='IterBasedRunner', max_iters=1000)\n"
    text = runner + LR.format("policy='step', step=[500], by_epoch=False")
    policy = Step(milestones=(500,))
    wanted = Schedule(length=1000, unit="iterations", policy=policy, warmup=None)
    assert imported(tmp_path, FASTER, text).to_train().schedule == wanted
    found = imported(tmp_path, FASTER, LR.format("policy='step', step=[500], by_epoch=False"))
    schedule = found.to_train().schedule
    assert schedule == Schedule(policy=policy, policy_unit="iterations", **NO_WARMUP)
    assert [schedule.factor(i, 100) for i in (499, 500)] == [1.0, 0.1]


def test_every_third_epoch(tmp_path: Path) -> None:
    found = imported(tmp_path, FASTER, LR.format("policy='step', step=3, gamma=0.5"))
    policy = Step(milestones=(3, 6, 9), gamma=0.5)
    assert found.to_train().schedule == Schedule(policy=policy, **NO_WARMUP)


def test_rates_that_a_cycle_would_level(tmp_path: Path) -> None:
    wise = "optimizer = dict(paramwise_cfg=dict(bias_lr_mult=2.0))\n"
    text = wise + LR.format("policy='OneCycle', max_lr=0.1")
    assert [one.path for one in imported(tmp_path, FASTER, text).obstacles] == ["lr_config.max_lr"]


MOMENTUM = "momentum_config = dict({})"
MOMENTA = [
    ("policy='cyclic', target_ratio=(0.85 / 0.95, 1), cyclic_times=2, step_ratio_up=0.3",
     MomentumSchedule(policy=Cyclic(peak=0.85 / 0.95, final_factor=1.0, cycles=2, rise=0.3))),
    ("policy='cyclic', gamma=0.5",
     MomentumSchedule(policy=Cyclic(peak=0.85 / 0.95, final_factor=1.0, gamma=0.5))),
    # The optimizer's momentum is 0.9.
    ("policy='OneCycle', base_momentum=0.81, max_momentum=0.99, three_phase=True",
     MomentumSchedule(policy=OneCycle(peak=0.81 / 0.9, start_divisor=0.81 / 0.99, final_divisor=1.0,
                               symmetric=True))),
    ("policy='CosineAnnealing', min_momentum=0.45, by_epoch=False, warmup='linear', "
     "warmup_iters=9", MomentumSchedule(policy=Cosine(final_factor=0.5, per_iteration=True),
                                        warmup=Warmup(iterations=9, ratio=0.9))),
    ("policy='LinearAnnealing', min_momentum_ratio=0.5",
     MomentumSchedule(policy=Poly(final_factor=0.5))),
    ("policy='step', step=[8, 11], gamma=0.9, min_momentum=0.45",
     MomentumSchedule(policy=Step(gamma=0.9, least_factor=0.5))),
    ("policy='Step', step=[500], by_epoch=False",
     MomentumSchedule(policy=Step(milestones=(500,), gamma=0.5), policy_unit="iterations")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "momentum"), MOMENTA)
def test_momentum(tmp_path: Path, text: str, momentum: MomentumSchedule) -> None:
    base: Experiment = zoo.find("faster_rcnn_r50_fpn_1x_coco").experiment
    found = imported(tmp_path, FASTER, MOMENTUM.format(text)).to_train()
    assert found.schedule == dataclasses.replace(base.schedule, momentum=momentum)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (MOMENTUM.format("policy='poly'"), "momentum_config.policy"),
        (MOMENTUM.format("policy='step', step=3"), "momentum_config.step"),
        (MOMENTUM.format("policy='cyclic', cycles=3"), "momentum_config.cycles"),
        ("optimizer = dict(momentum=0)\n" + MOMENTUM.format("policy='cyclic'"),
         "momentum_config.policy"),
    ],
)  # fmt: skip
def test_momenta_that_there_are_not(tmp_path: Path, text: str, path: str) -> None:
    assert [one.path for one in imported(tmp_path, FASTER, text).obstacles] == [path]


HOOK = "optimizer_config = dict(_delete_=True, type={!r}, {})"
FP16: dict[str, Any] = {"precision": "fp16"}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    (HOOK.format("Fp16OptimizerHook", "loss_scale=512., grad_clip=dict(max_norm=5)"),
     {**FP16, "loss_scale": 512.0, "max_gradient_norm": 5.0}),
    (HOOK.format("GradientCumulativeFp16OptimizerHook", "cumulative_iters=4, loss_scale='dynamic'"),
     {**FP16, "accumulate": 4, "loss_scale": None}),
    (HOOK.format("DistOptimizerHook", "update_interval=2, coalesce=True, use_fp16=True")
     + "\nrunner = dict(type='EpochBasedRunnerAmp')",
     {**FP16, "accumulate": 2, "loss_scale": None}),
    ("optimizer_config = dict(grad_clip=dict(_delete_=True, max_norm=5, norm_type=1))",
     {"max_gradient_norm": 5.0, "gradient_norm_order": 1.0}),
    ("optimizer_config = dict(grad_clip=dict(_delete_=True, max_norm=5, norm_type='inf'))",
     {"max_gradient_norm": 5.0, "gradient_norm_order": None}),
    ("custom_hooks = [dict(type='EMAHook', momentum=0.001, warm_up=10)]",
     {"ema": EMAConfig(momentum=0.001, warmup=10, kind="linear", averages_buffers=False)}),
    ("custom_hooks = [dict(type='ExpMomentumEMAHook', skip_buffers=True, interval=4)]",
     {"ema": EMAConfig(momentum=2e-4, every=4, averages_buffers=False)}),
    ("custom_hooks = [dict(type='LinearMomentumEMAHook', momentum=0.1, interval=2)]",
     {"ema": EMAConfig(momentum=0.1**2, warmup=100, kind="linear", every=2)}),
    ("custom_hooks = [dict(type='LinearMomentumEMAHook', momentum=0.001)]",
     {"ema": EMAConfig(momentum=0.001, warmup=100, kind="linear")}),
    ("custom_hooks = [dict(type='ExpMomentumEMAHook', total_iter=9, resume_from='x.pth')]",
     {"ema": EMAConfig(momentum=2e-4, warmup=9)}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "settings"), SETTINGS)
def test_precision_and_averages(tmp_path: Path, text: str, settings: dict[str, Any]) -> None:
    base: Experiment = zoo.find("faster_rcnn_r50_fpn_1x_coco").experiment
    wanted = dataclasses.replace(base, **settings)
    assert imported(tmp_path, FASTER, text).to_train() == wanted


OPTIMIZER = "optimizer = dict(_delete_=True, {})"
OPTIMIZERS: list[tuple[str, OptimizerConfig]] = [
    ("type='SGD', lr=0.01, momentum=0.9, dampening=0.1",
     SGDConfig(lr=0.01, momentum=0.9, dampening=0.1, weight_decay=0.0)),
    ("type='Adam', foreach=True", AdamConfig(lr=0.001)),
    ("type='Adagrad', lr=0.1, lr_decay=0.01, initial_accumulator_value=0.5",
     AdagradConfig(lr=0.1, lr_decay=0.01, initial_accumulator=0.5)),
    ("type='Adamax', betas=(0.8, 0.9), weight_decay=1e-4",
     AdamaxConfig(lr=0.002, betas=(0.8, 0.9), weight_decay=1e-4)),
    ("type='NAdam', lr=0.001, momentum_decay=0.01", NAdamConfig(lr=0.001, momentum_decay=0.01)),
    ("type='RAdam', eps=1e-6", RAdamConfig(lr=0.001, eps=1e-6)),
    ("type='RMSprop', alpha=0.9, momentum=0.5, centered=True",
     RMSpropConfig(lr=0.01, alpha=0.9, momentum=0.5, centered=True)),
    ("type='Adam', lr=1e-4, paramwise_cfg=dict(norm_decay_mult=0.1, bias_decay_mult=0.2, "
     "bias_lr_mult=2, dwconv_decay_mult=0.3, dcn_offset_lr_mult=0.4, bypass_duplicate=True, "
     "custom_keys={'backbone': dict(lr_mult=0.5, decay_mult=0.6)})",
     AdamConfig(lr=1e-4, norm_weight_decay_scale=0.1, bias_weight_decay_scale=0.2,
                bias_lr_scale=2.0, depthwise_weight_decay_scale=0.3, offset_lr_scale=0.4,
                rules=(ParameterRule(name="backbone", lr_scale=0.5, weight_decay_scale=0.6),))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "optimizer"), OPTIMIZERS)
def test_optimizers(tmp_path: Path, text: str, optimizer: OptimizerConfig) -> None:
    found = imported(tmp_path, FASTER, OPTIMIZER.format(text)).to_train().optimizer
    assert found == optimizer
