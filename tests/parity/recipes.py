"""Training recipes against ``schedules.json``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from detzoo.experiment import Experiment
from tests.parity.compare import Finding

ITERATIONS_PER_EPOCH = 100  # of the simulated run


def read_recipes(folder: Path) -> dict[str, Any] | None:
    """The recorded recipes, None where the folder has none."""
    path = folder / "schedules.json"
    return json.loads(path.read_text()) if path.exists() else None


def check_recipe(experiment: Experiment, key: str, recipes: dict[str, Any]) -> Finding:
    """Optimizer, parameter groups, clipping, batch and the learning rate over the run."""
    if key not in recipes["configurations"]:
        return Finding("recipe", math.inf, "schedules.json does not have it")
    recipe = recipes["configurations"][key]
    recorded = recipes["schedules"][recipe["schedule"]]
    what, rates = "recipe", recorded["learning_rate"]
    if not recorded["by_epoch"] and len({rate for _, rate in rates}) == 1:
        # The simulation did not run the schedules that count iterations: it recorded the base rate
        # from beginning to end, without the warm-up and the steps that the configurations have
        # (MMCV's IterBasedRunner counts both in iterations). Only that rate can be compared.
        what = "recipe (its record has the base rate only)"
        rates = []
        if recorded["learning_rate"][0][1] != experiment.optimizer.lr:
            rates = recorded["learning_rate"]
    problems = [
        *_optimizer_problems(experiment, recipe),
        *_schedule_problems(experiment, recorded, rates),
    ]
    return Finding(what, float(len(problems)), "; ".join(problems))


def _optimizer_problems(experiment: Experiment, recipe: dict[str, Any]) -> list[str]:
    optimizer = experiment.optimizer
    # MMDetection names torch's class, which is what SGDConfig builds.
    settings = {"type": type(optimizer).__name__.removesuffix("Config")}
    for name in recipe["optimizer"]:
        if name != "type":
            value = getattr(optimizer, name)
            settings[name] = list(value) if isinstance(value, tuple) else value
    with torch.device("meta"):
        groups = optimizer.parameter_groups(experiment.build_model())
    counted = {(_key(g.lr), _key(g.weight_decay)): len(g.names) for g in groups}
    wanted = {(_key(g["lr"]), _key(g["weight_decay"])): g["tensors"] for g in recipe["groups"]}
    clip = recipe["grad_clip"]
    ours_and_theirs = {
        "optimizer": (settings, recipe["optimizer"]),
        "groups": (counted, wanted),
        "max_gradient_norm": (experiment.max_gradient_norm, clip and clip["max_norm"]),
        "images_per_device": (experiment.data.images_per_device, recipe["images_per_gpu"]),
        "reference_batch": (experiment.reference_batch, recipe["reference_batch"]),
    }
    return [f"{k}: {a}, not {b}" for k, (a, b) in ours_and_theirs.items() if a != b]


def _schedule_problems(
    experiment: Experiment, recorded: dict[str, Any], rates: list[tuple[int, float]]
) -> list[str]:
    schedule = experiment.schedule
    if schedule.counts_epochs != recorded["by_epoch"]:
        return [f"the schedule counts {schedule.unit}"]
    total = schedule.total_iterations(ITERATIONS_PER_EPOCH)
    if total != recorded["iterations"]:
        return [f"{total} iterations, not {recorded['iterations']}"]
    for iteration, rate in rates:
        ours = experiment.optimizer.lr * schedule.factor(iteration, ITERATIONS_PER_EPOCH)
        if not math.isclose(ours, rate, rel_tol=1e-6):
            return [f"learning rate {ours:g} at iteration {iteration}, not {rate:g}"]
    return []


def _key(value: float) -> float:
    return float(f"{value:.6g}")
