"""Hooks, precision, intervals: the course of a run."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from detzoo import zoo
from detzoo.data.batch_resize import RandomBatchResize
from detzoo.data.sample import Transform
from detzoo.data.transforms import MixUp, Mosaic, RandomAffine, Resize
from detzoo.experiment import FinalEpochs
from detzoo.mmdet.node import Node, Refusal
from detzoo.mmdet.read_config import SourceFile
from detzoo.mmdet.registry import adapts
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import OptimizerConfig
from detzoo.optim.schedules import Schedule


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
        order = float(clip.take("norm_type", 2))
        clip.leave("error_if_nonfinite", "gradients that are no numbers stop a run by themselves")
        settings["max_gradient_norm"] = float(clip.take("max_norm"))
        settings["gradient_norm_order"] = None if math.isinf(order) else order
    node.leave("detect_anomalous_params", "parameters without gradients are no error")
    kind = node.take("type", "OptimizerHook")
    if kind not in STEPS:
        raise node.error("type", f"detzoo has no {kind!r} (it has {', '.join(STEPS)})")
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


STEPS = (
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
    node.ignore(
        "by_epoch", "gpu_collect", "tmpdir", "jsonfile_prefix", "metric_items", "format_only"
    )
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
    node.leave("meta", "what V2 writes into checkpoints")
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
    size = model.take("input_size", (640, 640))
    if size != sizes[-1]:  # V2 resizes boxes from this size
        reason = f"{size} is not {sizes[-1]}, the size that images are resized to"
        place = model.at("input_size")
        model.reading.note(Refusal(model.reading.source, place, reason, use="train"))
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
    if "type" not in node.left:  # V2 refuses it, and what it would do to the model is unknown
        reason = "missing: V2 does not take hooks without one"
        raise Refusal(node.reading.source, node.at("type"), reason, use="detect")
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
    """MMDetection's averages of weights, and mmcv's: linear, and of parameters alone."""
    node.leave("resume_from", "a run is resumed with --resume")
    every, momentum = node.take("interval", 1), float(node.take("momentum", 2e-4))
    skips = node.type == "EMAHook" or node.take("skip_buffers", False)
    settings: dict[str, Any] = {"every": every, "averages_buffers": not skips}
    if node.type == "ExpMomentumEMAHook":
        warmup = node.take("total_iter", 2000)
        return {"ema": EMAConfig(momentum=momentum, warmup=warmup, **settings)}
    warmup = node.take("warm_up", 100)
    # V2 takes a power, as if the average were weighted by it.
    average = EMAConfig(momentum=momentum**every, warmup=warmup, kind="linear", **settings)
    return {"ema": average}
