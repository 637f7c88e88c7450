"""Optimizers, schedules, hooks: the settings of a run."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from detzoo import zoo
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.data.sample import Transform
from detzoo.data.transforms import MixUp, Mosaic, RandomAffine, Resize
from detzoo.experiment import FinalEpochs
from detzoo.mmdet.node import Node
from detzoo.mmdet.read_config import SourceFile
from detzoo.mmdet.registry import ADAPTERS, adapts
from detzoo.optim.ema import EMAConfig
from detzoo.optim.layer_decay import LayerDecay
from detzoo.optim.optimizers import (
    AdamConfig,
    AdamWConfig,
    OptimizerConfig,
    ParameterRule,
    SGDConfig,
)
from detzoo.optim.schedules import (
    Cosine,
    CosineRestart,
    Exponential,
    FlatCosine,
    Policy,
    Poly,
    Schedule,
    Step,
    Warmup,
    YOLOXCosine,
)


@adapts("optimizer", "SGD")
def sgd(node: Node) -> SGDConfig:
    return SGDConfig(
        **_common(node),
        momentum=node.take("momentum", 0.0),
        nesterov=node.take("nesterov", False),
    )


@adapts("optimizer", "AdamW")
def adamw(node: Node) -> AdamWConfig:
    return AdamWConfig(**_common(node), **_adam(node))


@adapts("optimizer", "Adam")
def adam(node: Node) -> AdamConfig:
    return AdamConfig(**_common(node), **_adam(node))


def _adam(node: Node) -> dict[str, Any]:
    return {
        "betas": node.take("betas", (0.9, 0.999)),
        "eps": float(node.take("eps", 1e-8)),
        "amsgrad": node.take("amsgrad", False),
    }


def _common(node: Node) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "lr": float(node.take("lr")),
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


def schedule_of(root: Node, learning_rate: float) -> Schedule:
    """``runner`` and ``lr_config``."""
    unit, length = _length(root)
    node = root.optional_child("lr_config")
    if node is None:  # the rate stays as it is
        return Schedule(length=length, unit=unit, policy=Step(milestones=()), warmup=None)
    kind = str(node.take("policy"))
    adapter = ADAPTERS["schedule"].get(kind.lower())
    if adapter is None:
        known = ", ".join(sorted(ADAPTERS["schedule"]))
        raise node.error("policy", f"detzoo has no {kind!r} (it has {known})")
    policy: Policy = adapter(node, learning_rate)
    if "by_epoch" in node.left:  # those that can do either have taken it
        reason = "as milestones are counted as the run is"
        node.expect("by_epoch", unit == "epochs", reason)
    return Schedule(length=length, unit=unit, policy=policy, warmup=_warmup(node))


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
    kind: Any = node.take("warmup", None)
    length, ratio = node.take("warmup_iters", 0), float(node.take("warmup_ratio", 0.1))
    in_epochs = node.take("warmup_by_epoch", False)
    if kind is None:
        return None
    kind = "exponential" if kind == "exp" else kind
    if in_epochs:
        return Warmup(epochs=length, ratio=ratio, kind=kind)
    return Warmup(iterations=length, ratio=ratio, kind=kind)


@adapts("schedule", "step")
def step(node: Node, learning_rate: float) -> Step:
    milestones = node.take("step")
    return Step(
        milestones=milestones if isinstance(milestones, tuple) else (milestones,),
        gamma=node.take("gamma", 0.1),
        least_factor=(node.take("min_lr", None) or 0.0) / learning_rate,
    )


@adapts("schedule", "fixed")
def constant(node: Node, learning_rate: float) -> Step:
    return Step(milestones=())


@adapts("schedule", "cosineannealing")
def cosine(node: Node, learning_rate: float) -> Cosine:
    return Cosine(
        final_factor=_final_factor(node, learning_rate),
        per_iteration=not node.take("by_epoch", True),
    )


def _final_factor(node: Node, learning_rate: float) -> float:
    """``min_lr``, or ``min_lr_ratio``."""
    ratio, least = node.take("min_lr_ratio", None), node.take("min_lr", None)
    return float((least or 0.0) / learning_rate if ratio is None else ratio)


@adapts("schedule", "flatcosineannealing")
def flat_cosine(node: Node, learning_rate: float) -> FlatCosine:
    return FlatCosine(
        start=float(node.take("start_percent", 0.75)),
        final_factor=_final_factor(node, learning_rate),
        per_iteration=not node.take("by_epoch", True),
    )


@adapts("schedule", "cosinerestart")
def cosine_restart(node: Node, learning_rate: float) -> CosineRestart:
    return CosineRestart(
        periods=node.take("periods"),
        weights=tuple(float(one) for one in node.take("restart_weights", (1,))),
        final_factor=_final_factor(node, learning_rate),
        per_iteration=not node.take("by_epoch", True),
    )


@adapts("schedule", "exp")
def exponential(node: Node, learning_rate: float) -> Exponential:
    per_iteration = not node.take("by_epoch", True)
    return Exponential(gamma=float(node.take("gamma")), per_iteration=per_iteration)


@adapts("schedule", "yolox")
def yolox_cosine(node: Node, learning_rate: float) -> YOLOXCosine:
    """Its warm-up is part of the policy, and counts epochs."""
    node.expect("by_epoch", False, "as the rate falls within an epoch", default=True)
    node.expect("warmup", "exp", "how the rate rises")
    node.expect("warmup_by_epoch", True, "as the rise is so many epochs long", default=False)
    node.expect("warmup_ratio", 1, "as the rise ends at the whole rate", default=0.1)
    ratio = node.take("min_lr_ratio", None)
    return YOLOXCosine(
        warmup=node.take("warmup_iters"),
        flat=node.take("num_last_epochs"),
        final_factor=float(node.take("min_lr") / learning_rate if ratio is None else ratio),
    )


@adapts("schedule", "poly")
def poly(node: Node, learning_rate: float) -> Poly:
    return Poly(
        power=float(node.take("power", 1.0)),
        final_factor=node.take("min_lr", 0.0) / learning_rate,
        per_iteration=not node.take("by_epoch", True),
    )


def precision_of(root: Node) -> dict[str, Any]:
    """``fp16``."""
    node = root.optional_child("fp16")
    return {} if node is None else _half_precision(node)


def _half_precision(node: Node) -> dict[str, Any]:
    """``loss_scale``, of a hook or by itself."""
    if isinstance(node.left.get("loss_scale"), dict):  # how an adaptive scale starts
        node.child("loss_scale").ignore("init_scale")
        scale = "dynamic"
    else:
        scale = node.take("loss_scale", 512.0)
    return {"precision": "fp16", "loss_scale": None if scale == "dynamic" else float(scale)}


def steps_of(root: Node) -> dict[str, Any]:
    """``optimizer_config``: clipping, and gradients summed over several batches."""
    node = root.optional_child("optimizer_config")
    if node is None:
        return {}
    settings: dict[str, Any] = {}
    clip = node.optional_child("grad_clip")
    if clip is not None:
        clip.expect("norm_type", 2, "as gradients are clipped by their L2 norm")
        settings["max_gradient_norm"] = float(clip.take("max_norm"))
    kind = node.take("type", "OptimizerHook")
    if kind not in _STEPS:
        raise node.error("type", f"detzoo has no {kind!r} (it has {', '.join(_STEPS)})")
    if kind == "DistOptimizerHook":  # that of files which train with NVIDIA's apex
        settings["accumulate"] = node.take("update_interval", 1)
        for key in ("coalesce", "bucket_size_mb"):
            node.leave(key, "how V2 sums gradients over processes")
        if node.take("use_fp16", False):
            settings |= {"precision": "fp16", "loss_scale": None}
    if "Cumulative" in kind:
        settings["accumulate"] = node.take("cumulative_iters", 1)
    if "Fp16" in kind:
        settings |= _half_precision(node)
        for key in ("coalesce", "bucket_size_mb", "distributed"):
            node.leave(key, "how V2 sums gradients over processes")
    return settings


_STEPS = (
    "OptimizerHook",
    "Fp16OptimizerHook",
    "GradientCumulativeOptimizerHook",
    "GradientCumulativeFp16OptimizerHook",
    "DistOptimizerHook",
)


def intervals_of(root: Node, schedule: Schedule, final: FinalEpochs | None) -> dict[str, Any]:
    """``evaluation`` and ``checkpoint_config``: how often, and in the ``final`` epochs."""
    attempt, nothing = root.reading.attempt, dict[str, Any]()
    settings = attempt("evaluation", lambda: _evaluations(root, schedule, final), nothing)
    return settings | attempt("checkpoint_config", lambda: _checkpoints(root, schedule), nothing)


def _evaluations(root: Node, schedule: Schedule, final: FinalEpochs | None) -> dict[str, Any]:
    node = root.optional_child("evaluation")
    if node is None:
        return {}
    node.ignore("metric", "save_best", "classwise")
    node.ignore(
        "start", "rule", "iou_thrs", "iou_thr", "proposal_nums", "less_keys", "greater_keys"
    )
    node.ignore("by_epoch")
    every = node.take("interval", 1)
    if every < 1:
        raise node.error("interval", f"{every}: detzoo evaluates after every epoch")
    dynamic = node.take("dynamic_intervals", None)
    if dynamic is not None:
        ((start, often),) = dynamic
        # Only once more, at the end of the run, where detzoo always evaluates.
        last = schedule.length // every * every
        if not schedule.counts_epochs and (start, often) == (last + 1, schedule.length):
            return {"evaluate_every": every}
        # Counted from 1, this is the first of the final epochs.
        if final is None or start != schedule.length - final.epochs + 1:
            raise node.error("dynamic_intervals", "do not change where the final epochs begin")
        return {"evaluate_every": every, "final": replace(final, evaluate_every=often)}
    if final is not None:
        return {"evaluate_every": every, "final": replace(final, evaluate_every=every)}
    return {"evaluate_every": every}


def _checkpoints(root: Node, schedule: Schedule) -> dict[str, Any]:
    node = root.optional_child("checkpoint_config")
    if node is None:
        return {}
    node.ignore("max_keep_ckpts", "create_symlink", "save_last", "save_optimizer", "out_dir")
    every, by_epoch = node.take("interval", 1), node.take("by_epoch", schedule.counts_epochs)
    if every < 1:
        raise node.error("interval", f"{every}: the last state is always saved")
    if schedule.counts_epochs and not by_epoch:
        raise node.error("by_epoch", f"to save after so many steps: --checkpoint-steps {every}")
    return {"checkpoint_every": every}


def batch_resize(model: Node, transforms: Sequence[Transform]) -> RandomBatchResize | None:
    """What V2's YOLOX says about the sizes of batches beside the model itself."""
    if model.type != "YOLOX":
        return None
    sizes = [one.sizes[-1] for one in transforms if isinstance(one, Resize)] or [(640, 640)]
    model.expect("input_size", sizes[-1], "the size that images are resized to", default=(640, 640))
    return RandomBatchResize(
        multiples=model.take("random_size_range", (15, 25)),
        divisor=model.take("size_multiplier", 32),
        every=model.take("random_size_interval", 10),
    )


# What V2's default_runtime says, which files inherit that say nothing of their own.
_SAID_BY_DEFAULT = {"enable": False, "base_batch_size": 16}


def reference_batch_of(
    root: Node, optimizer: OptimizerConfig, files: Sequence[SourceFile]
) -> int | None:
    """The batch that the learning rate is for, None: for that of the file as it is.

    V2 scales only where it is told to. What is published, or inherits an unchanged optimizer from
    what is, has the published batch; any other file says its own, or means its rate as written.
    ``files`` are the file and its bases.
    """
    batch, why = _said_batch(root, files)
    if batch is None:
        for file in files:
            if zoo.has(file.stem):
                published = zoo.find(file.stem).experiment
                if published.optimizer == optimizer:
                    batch, why = published.reference_batch, f"as in {file.stem}"
                    break
    rate = f"{optimizer.lr:g}"
    root.reading.replaced["learning rate"] = (
        f"{rate} for {batch} images per step ({why}), scaled to those of a run"
        if batch is not None
        else f"{rate}, as written; nothing says for how many images per step"
    )
    return batch


def _said_batch(root: Node, files: Sequence[SourceFile]) -> tuple[int | None, str]:
    """``auto_scale_lr``: where it is enabled, or said by a file that is not MMDetection's own."""
    node = root.optional_child("auto_scale_lr")
    if node is None:
        return None, ""
    enabled, batch = node.take("enable", False), node.take("base_batch_size", None)
    if enabled:
        return batch, "auto_scale_lr.enable"
    for file in files:
        said = file.settings.get("auto_scale_lr")
        if isinstance(said, Mapping) and said != _SAID_BY_DEFAULT:
            own = said.get("base_batch_size")
            published = zoo.find(file.stem).experiment if zoo.has(file.stem) else None
            if own is not None and (published is None or own != published.reference_batch):
                return batch, "auto_scale_lr.base_batch_size"
    return None, ""


# Hooks whose effect detzoo has without being told, and why.
HOOKS_WITHOUT_EFFECT = {
    "NumClassCheckHook": "the number of classes is that of the class names",
    "SetEpochInfoHook": "detectors are always told the epoch",
    "CheckInvalidLossHook": "a loss that is no number always stops a run",
    "SyncNormHook": "processes have the same running statistics at any time",
}


def hooks_of(root: Node, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    """``custom_hooks``; ``transforms`` are those of training."""
    settings: dict[str, Any] = {}
    if not root.has("custom_hooks"):
        root.take("custom_hooks", None)
        return settings
    for node in root.children("custom_hooks"):
        read = functools.partial(_hook, node, transforms)
        settings |= root.reading.attempt(node.path, read, dict[str, Any]())
    return settings


def _hook(node: Node, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    if node.type in HOOKS_WITHOUT_EFFECT:
        node.left.clear()
        node.reading.aside[node.path] = HOOKS_WITHOUT_EFFECT[node.type]
        return {}
    node.ignore("priority")
    settings: dict[str, Any] = node.adapt("hook", transforms)
    return settings


@adapts("hook", "SyncRandomSizeHook")
def random_size(node: Node, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    """How YOLOX resized batches until 2.19."""
    node.expect("device", "cuda", "as sizes are drawn without a device")
    node.ignore("img_scale")
    return {
        "batch_resize": RandomBatchResize(
            multiples=node.take("ratio_range", (14, 26)),
            divisor=32,
            every=node.take("interval", 1),
        )
    }


@adapts("hook", "YOLOXModeSwitchHook")
def yolox_mode_switch(node: Node, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    """V2 switches one epoch before the last ``num_last_epochs`` begin."""
    skipped = node.take("skip_type_keys", tuple(_SKIPPED))
    unknown = [name for name in skipped if name not in _SKIPPED]
    if unknown:
        raise node.error("skip_type_keys", f"{unknown} are not among {tuple(_SKIPPED)}")
    dropped = tuple(_SKIPPED[name] for name in skipped)
    kept = tuple(one for one in transforms if not isinstance(one, dropped))
    return {"final": FinalEpochs(epochs=node.take("num_last_epochs", 15) + 1, transforms=kept)}


_SKIPPED = {"Mosaic": Mosaic, "RandomAffine": RandomAffine, "MixUp": MixUp}


@adapts("hook", "ExpMomentumEMAHook", "LinearMomentumEMAHook", "EMAHook")
def weight_average(node: Node, transforms: tuple[Transform, ...]) -> dict[str, Any]:
    """MMDetection's averages of weights, and mmcv's, which is linear."""
    node.leave("resume_from", "a run is resumed with --resume")
    node.expect("interval", 1, "as every step counts")
    if node.type == "EMAHook":
        node.reading.aside[node.at("type")] = "running statistics are averaged as well"
    else:
        node.expect("skip_buffers", False, "as running statistics are averaged too")
    momentum = node.take("momentum", 2e-4)
    if node.type == "ExpMomentumEMAHook":
        return {"ema": EMAConfig(momentum=momentum, warmup=node.take("total_iter", 2000))}
    warmup = node.take("warm_up", 100)
    return {"ema": EMAConfig(momentum=momentum, warmup=warmup, kind="linear")}
