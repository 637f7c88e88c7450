"""An entry of the zoo, narrow enough to train in minutes on one core."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from benchmarks.learning.scenes import ONE_CLASS, SIZE, STUFF
from benchmarks.learning.widths import CONSTANTS, NarrowBackboneConfig
from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.hrnet import HRNetConfig
from detzoo.backbones.resnest import ResNeStConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.config import diff
from detzoo.data.transforms import Flip, InstaBoost, Pad, Resize, ShrinkSemanticMap
from detzoo.experiment import DataConfig, Experiment
from detzoo.layers.norm import GroupNormConfig
from detzoo.layers.switchable import AdaptiveConvConfig
from detzoo.quickstart.scenes import CLASSES

T = TypeVar("T")

# Fields that say how wide a part is become a quarter, but no less than the narrowest width.
WIDTHS = {
    "base_channels",
    "channels",
    "conv_channels",
    "dynamic_channels",
    "fc_channels",
    "feedback_channels",
    "feedforward_channels",
    "middle_channels",
    "out_channels",
    "stem_channels",
    "channels_per_head",
}
NARROWEST = 16
# Fields that say how often something is repeated, or how many candidates there are, at most.
AT_MOST: Mapping[str, float] = {
    "num_convs": 2,
    "num_shared_convs": 2,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "num_queries": 50,
    "num_proposals": 50,
    "pre_nms": 300,
    "max_regions": 32,
    # What keeps a large model from learning by heart.
    "dropout": 0.0,
    "stochastic_depth": 0.0,
}
SAMPLED, PROPOSED = 64, 100
# What narrowing does to all alike: described once, not family by family.
EVERYWHERE = WIDTHS | set(AT_MOST) | {
    "accumulate",
    "class_names",
    "stuff_names",
    "data",
    "ema",
    "final",
    "loss_scale",
    "max_gradient_norm",
    "num_classes",
    "precision",
    "evaluate_every",
    "checkpoint_every",
    "fixed_statistics",
    "frozen_stages",
    "groups",
    "initial_weights",
    "max_detections",
    "num_stages",
    "pretrained",
    "reference_batch",
    "schedule",
    "trainable",
    "backbone",
}  # fmt: skip


def narrow_experiment(experiment: Experiment, *, augment: bool, size: int = SIZE) -> Experiment:
    """The same recipe with a narrow model, from scratch, for scenes of ``size`` pixels.

    ``augment`` mirrors images, and pastes objects where the recipe does; nothing else is random.
    """
    model = narrow(experiment.model.from_scratch())
    if model.needs_semantic_maps and not model.predicts_panoptic:
        head = model.roi_head.semantic_head  # type: ignore[attr-defined]
        semantic = dataclasses.replace(head, num_classes=len(CLASSES) + 1)
        roi_head = dataclasses.replace(model.roi_head, semantic_head=semantic)  # type: ignore[attr-defined]
        model = dataclasses.replace(model, roi_head=roi_head)
    # The rates of a recipe's parts are for pretrained backbones.
    rules = tuple(rule for rule in experiment.optimizer.rules if rule.name != "backbone")
    data = _data(experiment.data, augment, size)
    final = experiment.final
    if final is not None:
        final = dataclasses.replace(final, transforms=data.train_transforms)
    return dataclasses.replace(
        experiment,
        model=model,
        class_names=ONE_CLASS if model.is_class_agnostic else CLASSES,
        stuff_names=STUFF if model.predicts_panoptic else (),
        data=data,
        optimizer=dataclasses.replace(experiment.optimizer, rules=rules),
        ema=None,
        final=final,
        initial_weights=None,
        precision="fp32",
        loss_scale=None,
        accumulate=1,
    )


def _data(data: DataConfig, augment: bool, size: int) -> DataConfig:
    fit = (Resize(sizes=((size, size),)), Pad(divisor=32))
    kept = InstaBoost, ShrinkSemanticMap
    first, *rest = fit
    own = [t for t in data.train_transforms if isinstance(t, kept)]
    before = [t for t in own if isinstance(t, InstaBoost) and augment]
    after = [t for t in own if isinstance(t, ShrinkSemanticMap)]
    flip = [Flip()] if augment else []
    return DataConfig(
        train_transforms=(*before, first, *flip, *rest, *after),
        test_transforms=fit,
        masks=data.masks,
        workers=0,
    )


def narrow(value: T) -> T:
    """A configuration with fewer channels, layers, candidates; also within what it holds."""
    if isinstance(value, tuple):
        return tuple(narrow(item) for item in value)  # type: ignore[return-value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {f.name: narrow(getattr(value, f.name)) for f in dataclasses.fields(value)}
    fields |= {name: _quarter(fields[name]) for name in WIDTHS & set(fields)}
    for name, most in AT_MOST.items():
        if fields.get(name) is not None:
            fields[name] = min(fields[name], most)
    fields |= _by_type(value, fields)
    narrowed: Any = type(value)(**fields)
    if type(narrowed) in CONSTANTS:
        narrowed = NarrowBackboneConfig(inner=narrowed)
    return narrowed


def _by_type(value: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a field's name alone does not say."""
    if isinstance(value, ResNetConfig):
        # Bottlenecks only for what basic blocks cannot hold.
        is_plain = value.groups == 1 and value.deformable is None and value.context_ratio is None
        is_plain &= value.attention is None and type(value) is ResNetConfig
        is_plain &= not isinstance(value.convolution, AdaptiveConvConfig)
        return {"depth": 18 if is_plain else 50, "base_channels": 16}
    if isinstance(value, HRNetConfig):
        return {"width": 8}
    if isinstance(value, ResNeStConfig):
        return {"depth": 50}
    if isinstance(value, BackboneConfig) and "depth" in fields:
        return {"depth": 50}
    if isinstance(value, GroupNormConfig):
        return {"groups": 8 if value.groups == 32 else value.groups // 4}
    kind = type(value).__name__
    if kind.endswith("Sampler"):
        return {"num": min(value.num, SAMPLED)}
    if kind == "Select" and value.max_detections is not None:
        return {"max_detections": min(value.max_detections, PROPOSED)}
    if kind == "NASFPNConfig":
        return {"num_stages": 2}
    if kind == "SparseRoIHeadConfig":
        return {"num_stages": 3}
    return {}


def _quarter(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_quarter(item) for item in value)
    return None if value is None else max(value // 4, min(value, NARROWEST))


def changes(before: Experiment, after: Experiment) -> list[str]:
    """How a recipe was changed, beyond what is done to all: ``field: before -> after``."""
    rows = []
    for path, old, new in diff(before, after):
        names = path.replace("[", ".").split(".")
        if names[-1] == "rules":
            rows.append("the backbone's rate is that of the rest")
        elif not EVERYWHERE & set(names) and (names[-1], new) != ("num", SAMPLED):
            rows.append(f"{_short(path)}: {_show(old)} -> {_show(new)}")
    size = after.data.test_transforms[0].sizes[0][0]  # type: ignore[attr-defined]
    if size != SIZE:
        rows.append(f"images enlarged to {size} pixels")
    return list(dict.fromkeys(rows))


def _short(path: str) -> str:
    return ".".join(path.split(".")[-2:])


def _show(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return type(value).__name__
    return f"{value:g}" if isinstance(value, float) else str(value)
