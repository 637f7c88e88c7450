"""Configurations of MMDetection 3.x, in the words of 2.28.2: model, test pipeline and classes.

That is what detecting needs. Training recipes are those of another engine, and are not read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from detzoo.mmdet.version3_models import rebuild

# What only a configuration of 3.x has.
_MARKS: Final = ("train_dataloader", "test_dataloader", "val_dataloader", "optim_wrapper")
TO_TRAIN: Final = (
    "this is a file of MMDetection 3.x, of which detzoo reads the model, the test pipeline and the "
    "classes; train the zoo's entry with --set, or start it from these weights"
)


def is_version3(config: Mapping[str, Any]) -> bool:
    """Whether a merged configuration is one of MMDetection 3.x."""
    model = config.get("model")
    has_own_pixels = isinstance(model, Mapping) and "data_preprocessor" in model
    return has_own_pixels or any(isinstance(config.get(mark), Mapping) for mark in _MARKS)


def as_version2(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with ``model`` and ``data`` as 2.28.2 writes them, and no recipe.

    What is not understood stays where it is, and is reported by the adapters.
    """
    config = _without_scopes(copy.deepcopy(dict(config)))
    model = config.get("model")
    pixels: Any = None
    if isinstance(model, dict):
        pixels = model.pop("data_preprocessor", None)
        _rename_costs(model.get("train_cfg"))
        rebuild(model)
        heads = model.get("roi_head")
        semantic = heads.get("semantic_head") if isinstance(heads, dict) else None
        if isinstance(semantic, dict):  # how training shrinks its maps
            semantic.pop("seg_scale_factor", None)
    source = _data_set(config)
    names = source.get("metainfo")
    names = names.get("classes", names.get("CLASSES")) if isinstance(names, Mapping) else None
    test = {"type": source.get("type", "CocoDataset")}
    if names is not None:
        test["classes"] = names
    test["pipeline"] = _pipeline(source.get("pipeline"), pixels)
    hooks = [hook for hook in config.get("custom_hooks") or () if _changes_the_model(hook)]
    return {"model": model, "data": {"test": test}, "custom_hooks": hooks}


def _changes_the_model(hook: Any) -> bool:
    return isinstance(hook, Mapping) and hook.get("type") == "RFSearchHook"


def _without_scopes(value: Any) -> Any:
    """``mmdet.ResNet`` as ``ResNet``; ``_scope_`` says the same of a part."""
    if isinstance(value, Mapping):
        kept = {key: _without_scopes(item) for key, item in value.items() if key != "_scope_"}
        if isinstance(kept.get("type"), str):
            name = kept["type"].removeprefix("mmdet.")
            kept["type"] = name.replace("mmpretrain.", "mmcls.")
        return kept
    if isinstance(value, list | tuple):
        return [_without_scopes(item) for item in value]
    return value


def _data_set(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """That of tests, or of validation, out of what wraps it; empty where there is none."""
    for key in ("test_dataloader", "val_dataloader"):
        loader = config.get(key)
        source = loader.get("dataset") if isinstance(loader, Mapping) else None
        while isinstance(source, Mapping) and "pipeline" not in source:
            inner = source.get("dataset", source.get("datasets"))
            source = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(source, Mapping):
            return source
    return {}


# Steps that say nothing of what the detector sees: labels of tests, and the form of its input.
_SAYS_NOTHING: Final = ("LoadAnnotations", "PackDetInputs", "LoadPanopticAnnotations")


def _pipeline(steps: Any, pixels: Any) -> Any:
    """The steps of a test, with the normalization and padding of the model's preprocessor."""
    if not isinstance(steps, list):
        return steps
    load: list[Any] = []
    rest: list[Any] = []
    size: Any = None
    for step in _unwrapped(steps):
        kind = step.get("type") if isinstance(step, dict) else None
        if kind in _SAYS_NOTHING:
            continue
        if isinstance(step, dict):
            step.pop("backend_args", None)
            if kind == "Resize" and "scale" in step:
                size = step.pop("scale")
        (load if kind in ("LoadImageFromFile", "LoadProposals") else rest).append(step)
    has_proposals = any(step.get("type") == "LoadProposals" for step in load)
    keys = ["img", "proposals"] if has_proposals else ["img"]
    last = [{"type": "ImageToTensor", "keys": ["img"]}, {"type": "Collect", "keys": keys}]
    views: dict[str, Any] = {"type": "MultiScaleFlipAug", "flip": False}
    views |= {"scale_factor": 1.0} if size is None else {"img_scale": tuple(size)}
    own = _own_steps(pixels)
    if any(step.get("pad_to_square") for step in rest if isinstance(step, dict)):
        own = [step for step in own if step["type"] != "Pad"]  # a square of that size is padded
    return [*load, {**views, "transforms": [*rest, *own, *last]}]


def _unwrapped(steps: list[Any]) -> list[Any]:
    """``steps`` with those within a ProposalBroadcaster, which treats proposals as objects."""
    found = []
    for step in steps:
        inside = step.get("transforms") if isinstance(step, dict) else None
        if isinstance(inside, list) and step.get("type") == "ProposalBroadcaster":
            found += inside
        else:
            found.append(step)
    return found


def _own_steps(pixels: Any) -> list[Any]:
    """What ``DetDataPreprocessor`` does to a batch: it normalizes, then pads with zeros."""
    if not isinstance(pixels, dict):
        return []
    for key in ("type", "batch_augments", "pad_mask", "mask_pad_value", "pad_seg", "seg_pad_value"):
        pixels.pop(key, None)
    steps: list[Any] = []
    if pixels.get("mean") is not None:
        swaps = pixels.pop("bgr_to_rgb", False) or pixels.pop("rgb_to_bgr", False)
        mean, std = pixels.pop("mean"), pixels.pop("std", None)
        steps.append({"type": "Normalize", "mean": mean, "std": std, "to_rgb": swaps})
    divisor, value = pixels.pop("pad_size_divisor", 1), pixels.pop("pad_value", 0)
    if divisor != 1 or value or pixels:
        steps.append({"type": "Pad", "size_divisor": divisor, "pad_val": value, **pixels})
    return steps


_COSTS: Final[Mapping[str, str]] = {
    "ClassificationCost": "cls_cost",
    "FocalLossCost": "cls_cost",
    "BBoxL1Cost": "reg_cost",
    "IoUCost": "iou_cost",
}


def _rename_costs(settings: Any) -> None:
    """``match_costs`` of a HungarianAssigner, wherever it is."""
    if isinstance(settings, list):
        for item in settings:
            _rename_costs(item)
    if not isinstance(settings, dict):
        return
    costs = settings.get("match_costs")
    if isinstance(costs, list) and all(
        isinstance(one, dict) and one.get("type") in _COSTS for one in costs
    ):
        settings |= {_COSTS[one["type"]]: one for one in settings.pop("match_costs")}
    for item in settings.values():
        _rename_costs(item)
