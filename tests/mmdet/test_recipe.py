"""Schedules, mixed precision and averages of weights in users' files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from detzoo import zoo
from detzoo.experiment import Experiment
from detzoo.optim.ema import EMAConfig
from detzoo.optim.schedules import (
    Cosine,
    CosineRestart,
    Exponential,
    FlatCosine,
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
     Schedule(policy=CosineRestart(periods=(9,), per_iteration=True), **NO_WARMUP)),
    ("policy='FlatCosineAnnealing', start_percent=0.5, min_lr_ratio=0.1, by_epoch=False",
     Schedule(policy=FlatCosine(start=0.5, final_factor=0.1), **NO_WARMUP)),
    ("policy='exp', gamma=0.9", Schedule(policy=Exponential(gamma=0.9), **NO_WARMUP)),
    ("policy='step', step=[8, 11], min_lr=2e-3, by_epoch=True",
     Schedule(policy=Step(least_factor=0.1), **NO_WARMUP)),
    ("policy='CosineAnnealing', min_lr=0, warmup='exp', warmup_iters=2, warmup_ratio=0.01, "
     "warmup_by_epoch=True",
     Schedule(policy=Cosine(), warmup=Warmup(epochs=2, ratio=0.01, kind="exponential"))),
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
    assert [one.path for one in found.obstacles] == ["lr_config.by_epoch"]


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
    ("custom_hooks = [dict(type='EMAHook', momentum=0.001, warm_up=10)]",
     {"ema": EMAConfig(momentum=0.001, warmup=10, kind="linear")}),
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
