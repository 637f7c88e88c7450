"""A V2 configuration as an experiment."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import check
from detzoo.errors import ConfigError
from detzoo.experiment import DataConfig, Experiment
from detzoo.mmdet.adapters import recipe
from detzoo.mmdet.adapters.datasets import DataSource
from detzoo.mmdet.adapters.pipelines import Pipeline, read_pipeline
from detzoo.mmdet.node import Node, Reading
from detzoo.mmdet.tables import TABLES
from detzoo.structures import Pixels
from detzoo.zoo.classes import OBJECT

# The variables of a V2 file that mean something; all others are the author's own.
SECTIONS = (
    "model",
    "data",
    "optimizer",
    "optimizer_config",
    "lr_config",
    "runner",
    "total_epochs",
    "evaluation",
    "checkpoint_config",
    "custom_hooks",
    "fp16",
    "auto_scale_lr",
    "load_from",
    "resume_from",
    "workflow",
)


def experiment_of(config: Mapping[str, Any], source: str) -> Experiment:
    """The experiment that a merged V2 configuration describes; ``source`` is its name in errors.

    Raises :class:`ConfigError`, naming the place in the configuration, for a type that detzoo does
    not have, a setting that no adapter knows, and facts that contradict each other.
    """
    _check_names(config, source)
    reading = Reading(source, TABLES)
    sections = {key: config[key] for key in SECTIONS if key in config}
    root = Node(_modernised(sections, config), "", reading)
    root.expect("workflow", (("train", 1),), "as every epoch trains, then evaluates")
    root.expect("resume_from", None, "as a run is resumed with --resume")
    data = _read_data(root.child("data"))
    model = root.child("model")
    names = OBJECT if model.left.get("type") == "RPN" else data.class_names
    transforms = data.settings.train_transforms
    batch_resize = recipe.batch_resize(model, transforms)
    detector = model.adapt("detector", len(names), data.pixels)
    optimizer = root.part("optimizer", "optimizer")
    schedule = recipe.schedule_of(root, optimizer.lr)
    hooks = recipe.hooks_of(root, transforms)
    intervals = recipe.intervals_of(root, schedule, hooks.get("final"))
    experiment = Experiment(
        model=detector,
        class_names=names,
        data=replace(data.settings, batch_resize=batch_resize),
        optimizer=optimizer,
        schedule=schedule,
        reference_batch=recipe.reference_batch_of(root),
        initial_weights=_initial_weights(root),
        **recipe.precision_of(root),
        **recipe.steps_of(root),
        **(hooks | intervals),
    )
    reading.require_all_taken()
    try:
        check(experiment, config_classes())
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    return experiment


@dataclass(frozen=True)
class _Data:
    class_names: tuple[str, ...]
    settings: DataConfig
    pixels: Pixels


def _read_data(node: Node) -> _Data:
    """``data``: the pipelines, and how images are passed over."""
    source: DataSource = node.part("train", "dataset")
    train = read_pipeline(source.pipeline, training=True)
    tests = []
    for key in ("test", "val"):
        held_out: DataSource = node.part(key, "dataset")
        if held_out.class_names != source.class_names:
            raise node.error(f"{key}.classes", "are not those of data.train")
        tests.append(read_pipeline(held_out.pipeline, training=False))
    test, validation = tests
    if test != validation:
        raise node.error("val.pipeline", "is not that of data.test")
    if test.normalization != train.normalization or test.padding != train.padding:
        raise node.error("test.pipeline", "makes other pixels than data.train.pipeline")
    node.ignore("persistent_workers")
    settings = DataConfig(
        train_transforms=tuple(train.transforms),
        test_transforms=tuple(test.transforms),
        images_per_device=node.take("samples_per_gpu"),
        workers=node.take("workers_per_gpu"),
        repeats=source.repeats,
        skip_empty=source.skip_empty,
        min_object_size=source.min_object_size,
        oversample_threshold=source.oversample_threshold,
        tta=test.tta,
        train_proposals=train.proposals,
        test_proposals=test.proposals,
        metric=source.metric,
        masks=train.masks,
    )
    return _Data(source.class_names, settings, _pixels(train))


def _pixels(pipeline: Pipeline) -> Pixels:
    if pipeline.normalization is None:
        return Pixels(
            mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="bgr", padding=pipeline.padding
        )
    mean, std, to_rgb = pipeline.normalization
    return Pixels(
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        order="rgb" if to_rgb else "bgr",
        padding=pipeline.padding,
    )


def _modernised(sections: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Older V2 spellings in their later places."""
    changed = copy.deepcopy(dict(sections))
    model = changed.get("model")
    if isinstance(model, dict):
        # Until 2.4 both stood beside the model.
        for key in ("train_cfg", "test_cfg"):
            if key in config and key not in model:
                model[key] = copy.deepcopy(config[key])
        _drop_copied_settings(model)
        backbone = model.get("backbone")
        if "pretrained" in model and isinstance(backbone, dict):
            backbone["pretrained"] = model.pop("pretrained")
    return changed


def _drop_copied_settings(model: dict[str, Any]) -> None:
    """V2 copies the settings of a head into it when it builds one; checkpoints keep the copy."""
    for part in ("bbox_head", "roi_head", "mask_head"):
        head = model.get(part)
        if not isinstance(head, dict):
            continue
        for key in ("train_cfg", "test_cfg"):
            settings = model.get(key)
            copied = (settings, settings.get("rcnn") if isinstance(settings, dict) else None)
            if key in head and (head[key] is None or head[key] in copied):
                del head[key]
        if part == "roi_head" and head.get("pretrained", "") is None:
            del head["pretrained"]


def _check_names(config: Mapping[str, Any], source: str) -> None:
    """A misspelt section would pass for one of the author's own variables."""
    for name in config:
        if name in SECTIONS:
            continue
        near = difflib.get_close_matches(name, SECTIONS, n=1, cutoff=0.85)
        if near and near[0] not in config:
            raise ConfigError(f"{source}: {name}: did you mean {near[0]!r}? No section has it.")


def _initial_weights(root: Node) -> str | None:
    """``load_from``: the entry whose published file it is, or the file itself.

    Published files lie in a folder with the name of their entry; some entries have had several.
    """
    load_from = root.take("load_from", None)
    if load_from is None:
        return None
    if not isinstance(load_from, str):
        raise root.error("load_from", f"{load_from!r} is not the name or address of a file")
    folder, file = ("", *load_from.split("/"))[-2:]
    published = (
        entry.name
        for entry in zoo.entries()
        if (entry.weights is not None and entry.weights.split("/")[-1] == file)
        or ("/v2.0/" in load_from and file.endswith(".pth") and entry.name == folder)
    )
    return next(published, load_from)
