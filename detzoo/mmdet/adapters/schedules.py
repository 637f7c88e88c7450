"""Schedules: ``runner``, ``lr_config`` and ``momentum_config``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import ADAPTERS, adapts
from detzoo.optim.cycles import Cyclic, Kind, OneCycle
from detzoo.optim.optimizers import OptimizerConfig
from detzoo.optim.schedules import (
    Cosine,
    CosineRestart,
    Exponential,
    FlatCosine,
    Inverse,
    MomentumSchedule,
    Policy,
    Poly,
    Schedule,
    Step,
    Warmup,
    YOLOXCosine,
)


def schedule_of(root: Node, optimizer: OptimizerConfig) -> Schedule:
    """The length of a run, and the learning rate in it."""
    unit, length = _length(root)
    node = root.optional_child("lr_config")
    constant = Schedule(length=length, unit=unit, policy=Step(milestones=()), warmup=None)
    if node is None:  # the rate stays as it is
        return constant
    kind = str(node.take("policy"))
    adapter = ADAPTERS["schedule"].get(kind.lower())
    if adapter is None:
        known = ", ".join(sorted(ADAPTERS["schedule"]))
        raise node.error("policy", f"detzoo has no {kind!r} (it has {known})")
    policy: Policy = adapter(node, optimizer)
    schedule = dataclasses.replace(constant, policy=policy, warmup=_warmup(node))
    # Policies that can change with every iteration have taken it.
    by_epoch = node.take("by_epoch", unit == "epochs")
    if by_epoch != (unit == "epochs"):
        counted: Literal["epochs", "iterations"] = "epochs" if by_epoch else "iterations"
        schedule = dataclasses.replace(schedule, policy_unit=counted)
    return _with_milestones(schedule, node)


def _length(root: Node) -> tuple[Literal["epochs", "iterations"], int]:
    # The older form, of V2 until 2.4.
    total = root.take("total_epochs", None)
    if not root.has("runner"):
        root.take("runner", None)
        if total is None:
            raise root.error("runner", "missing: how long is a run? Give runner.max_epochs")
        return "epochs", total
    runner = root.child("runner")
    if runner.type == "IterBasedRunner":
        return "iterations", runner.take("max_iters")
    if runner.type not in ("EpochBasedRunner", "EpochBasedRunnerAmp"):
        raise runner.error(
            "type", f"{runner.type!r} is neither EpochBasedRunner nor IterBasedRunner"
        )
    length = runner.take("max_epochs", total)
    if total is not None and total != length:
        raise root.error("total_epochs", f"{total} contradicts runner.max_epochs, {length}")
    return "epochs", length


def _warmup(node: Node) -> Warmup | None:
    kind, length, ratio = _warmup_settings(node, ratio=0.1)
    in_epochs = node.take("warmup_by_epoch", False)
    if kind is None:
        return None
    if in_epochs:
        return Warmup(epochs=length, ratio=ratio, kind=kind)
    return Warmup(iterations=length, ratio=ratio, kind=kind)


def _warmup_settings(node: Node, ratio: float) -> tuple[Any, int, float]:
    """Kind, length and ratio, whose default is ``ratio``."""
    kind = node.take("warmup", None)
    length, least = node.take("warmup_iters", 0), float(node.take("warmup_ratio", ratio))
    return "exponential" if kind == "exp" else kind, length, least


@adapts("schedule", "step")
def step(node: Node, optimizer: OptimizerConfig) -> Step:
    milestones = node.take("step")
    return Step(
        milestones=milestones if isinstance(milestones, tuple) else (milestones,),
        gamma=float(node.take("gamma", 0.1)),
        least_factor=float(node.take("min_lr", None) or 0.0) / optimizer.lr,
    )


def _with_milestones(schedule: Schedule, node: Node) -> Schedule:
    """``step=3`` is every third epoch, not the third one."""
    policy, every = schedule.policy, node.original.get("step")
    if not isinstance(policy, Step) or not isinstance(every, int):
        return schedule
    if schedule.policy_unit is not None:
        raise node.error("step", f"{every}: give the milestones as a list")
    policy = dataclasses.replace(policy, milestones=tuple(range(every, schedule.length, every)))
    return dataclasses.replace(schedule, policy=policy)


@adapts("schedule", "fixed")
def constant(node: Node, optimizer: OptimizerConfig) -> Step:
    return Step(milestones=())


# The older spelling is mmcv's.
@adapts("schedule", "cosineannealing", "cosineanealing")
def cosine(node: Node, optimizer: OptimizerConfig) -> Cosine:
    return Cosine(
        final_factor=_final_factor(node, optimizer),
        per_iteration=not node.take("by_epoch", True),
    )


def _final_factor(node: Node, optimizer: OptimizerConfig) -> float:
    """``min_lr``, or ``min_lr_ratio``."""
    ratio, least = node.take("min_lr_ratio", None), node.take("min_lr", None)
    return float((least or 0.0) / optimizer.lr if ratio is None else ratio)


@adapts("schedule", "flatcosineannealing")
def flat_cosine(node: Node, optimizer: OptimizerConfig) -> FlatCosine:
    return FlatCosine(
        start=float(node.take("start_percent", 0.75)),
        final_factor=_final_factor(node, optimizer),
        per_iteration=not node.take("by_epoch", True),
    )


@adapts("schedule", "cosinerestart")
def cosine_restart(node: Node, optimizer: OptimizerConfig) -> CosineRestart:
    return CosineRestart(
        periods=node.take("periods"),
        weights=tuple(float(one) for one in node.take("restart_weights", (1,))),
        final_factor=_final_factor(node, optimizer),
    )


@adapts("schedule", "exp")
def exponential(node: Node, optimizer: OptimizerConfig) -> Exponential:
    per_iteration = not node.take("by_epoch", True)
    return Exponential(gamma=float(node.take("gamma")), per_iteration=per_iteration)


@adapts("schedule", "inv")
def inverse(node: Node, optimizer: OptimizerConfig) -> Inverse:
    return Inverse(
        gamma=float(node.take("gamma")),
        power=float(node.take("power", 1.0)),
        per_iteration=not node.take("by_epoch", True),
    )


@adapts("schedule", "yolox")
def yolox_cosine(node: Node, optimizer: OptimizerConfig) -> YOLOXCosine:
    """Its warm-up is part of the policy, and counts epochs."""
    node.expect("by_epoch", False, "as the rate falls within an epoch", default=True)
    node.expect("warmup", "exp", "how the rate rises")
    node.expect("warmup_by_epoch", True, "as the rise is so many epochs long", default=False)
    node.expect("warmup_ratio", 1, "as the rise ends at the whole rate", default=0.1)
    ratio = node.take("min_lr_ratio", None)
    return YOLOXCosine(
        warmup=node.take("warmup_iters"),
        flat=node.take("num_last_epochs"),
        final_factor=float(node.take("min_lr") / optimizer.lr if ratio is None else ratio),
    )


@adapts("schedule", "poly")
def poly(node: Node, optimizer: OptimizerConfig) -> Poly:
    return Poly(
        power=float(node.take("power", 1.0)),
        final_factor=float(node.take("min_lr", 0.0)) / optimizer.lr,
        per_iteration=not node.take("by_epoch", True),
    )


@adapts("schedule", "linearannealing")
def linear(node: Node, optimizer: OptimizerConfig) -> Poly:
    return Poly(
        final_factor=_final_factor(node, optimizer),
        per_iteration=not node.take("by_epoch", True),
    )


_KINDS: Final[Mapping[str, Kind]] = {"cos": "cosine", "linear": "linear"}
_EVERY_ITERATION: Final = "as it changes with every iteration"


def _kind(node: Node) -> Kind:
    name = node.take("anneal_strategy", "cos")
    if name not in _KINDS:
        raise node.error("anneal_strategy", f"{name!r} is neither 'cos' nor 'linear'")
    return _KINDS[name]


@adapts("schedule", "cyclic")
def cyclic(node: Node, optimizer: OptimizerConfig) -> Cyclic:
    return _cyclic(node, default=(10, 1e-4))


def _cyclic(node: Node, default: tuple[float, float]) -> Cyclic:
    node.expect("by_epoch", False, _EVERY_ITERATION)
    given = node.take("target_ratio", default)
    top, *end = given if isinstance(given, tuple) else (given,)
    return Cyclic(
        peak=float(top),
        final_factor=float(end[0]) if end else top / 1e5,
        cycles=node.take("cyclic_times", 1),
        rise=float(node.take("step_ratio_up", 0.4)),
        gamma=float(node.take("gamma", 1)),
        kind=_kind(node),
    )


@adapts("schedule", "onecycle")
def one_cycle(node: Node, optimizer: OptimizerConfig) -> OneCycle:
    """``max_lr`` is that of all parameters, whatever ``optimizer`` says."""
    node.expect("by_epoch", False, _EVERY_ITERATION)
    node.expect("total_steps", None, "as the cycle is as long as the run")
    top = node.take("max_lr")
    scales = (optimizer.bias_lr_scale, optimizer.offset_lr_scale)
    if optimizer.layer_decay is not None or any(
        scale != 1 for scale in (*scales, *(rule.lr_scale for rule in optimizer.rules))
    ):
        reason = "V2 gives it to all parameters, but some have rates of their own in paramwise_cfg"
        raise node.error("max_lr", reason)
    return OneCycle(
        peak=float(top) / optimizer.lr,
        rise=float(node.take("pct_start", 0.3)),
        start_divisor=float(node.take("div_factor", 25)),
        final_divisor=float(node.take("final_div_factor", 1e4)),
        kind=_kind(node),
        symmetric=node.take("three_phase", False),
    )


def momentum_of(
    root: Node, optimizer: OptimizerConfig, schedule: Schedule
) -> MomentumSchedule | None:
    """``momentum_config``, whose values are factors of the optimizer's momentum here."""
    node = root.optional_child("momentum_config")
    if node is None:
        return None
    momentum = optimizer.scheduled_momentum
    if momentum is None:
        raise node.error("policy", "the optimizer has no momentum to change")
    kind = str(node.take("policy"))
    readers = {
        "step": _momentum_steps,
        "cosineannealing": _momentum_cosine,
        "linearannealing": _momentum_linear,
        "cyclic": _momentum_cycles,
        "onecycle": _momentum_cycle,
    }
    if kind.lower() not in readers:
        known = ", ".join(sorted(readers))
        raise node.error("policy", f"detzoo has no {kind!r} (it has {known})")
    policy = readers[kind.lower()](node, momentum)
    warmup, length, ratio = _warmup_settings(node, ratio=0.9)
    unit: Literal["epochs", "iterations"] | None = None
    if isinstance(policy, Step):
        unit = "epochs" if node.take("by_epoch", True) else "iterations"
    return MomentumSchedule(
        policy=policy,
        warmup=None if warmup is None else Warmup(iterations=length, ratio=ratio, kind=warmup),
        policy_unit=None if unit == schedule.unit else unit,
    )


def _momentum_steps(node: Node, momentum: float) -> Step:
    milestones = node.take("step")
    if not isinstance(milestones, tuple):
        raise node.error("step", f"{milestones}: give the milestones as a list")
    return Step(
        milestones=milestones,
        gamma=float(node.take("gamma", 0.5)),
        least_factor=float(node.take("min_momentum", None) or 0.0) / momentum,
    )


def _momentum_cosine(node: Node, momentum: float) -> Cosine:
    return Cosine(
        final_factor=_final_momentum(node, momentum),
        per_iteration=not node.take("by_epoch", True),
    )


def _momentum_linear(node: Node, momentum: float) -> Poly:
    return Poly(
        final_factor=_final_momentum(node, momentum),
        per_iteration=not node.take("by_epoch", True),
    )


def _final_momentum(node: Node, momentum: float) -> float:
    ratio, least = node.take("min_momentum_ratio", None), node.take("min_momentum", None)
    return float((least or 0.0) / momentum if ratio is None else ratio)


def _momentum_cycles(node: Node, momentum: float) -> Cyclic:
    return _cyclic(node, default=(0.85 / 0.95, 1.0))


def _momentum_cycle(node: Node, momentum: float) -> OneCycle:
    """From ``max_momentum`` to ``base_momentum`` and back, whatever ``optimizer`` says."""
    node.expect("by_epoch", False, _EVERY_ITERATION)
    low, high = float(node.take("base_momentum", 0.85)), float(node.take("max_momentum", 0.95))
    return OneCycle(
        peak=low / momentum,
        rise=float(node.take("pct_start", 0.3)),
        start_divisor=low / high,
        final_divisor=1.0,
        kind=_kind(node),
        symmetric=node.take("three_phase", False),
    )
