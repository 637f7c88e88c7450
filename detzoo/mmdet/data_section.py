"""``data`` of a V2 configuration: classes, pixels, and how images are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detzoo.experiment import DataConfig
from detzoo.mmdet.adapters.datasets import DataSource, read_datasets
from detzoo.mmdet.adapters.pipelines import Pipeline, pad_at_once, read_pipeline
from detzoo.mmdet.node import Node
from detzoo.structures import Pixels


@dataclass(frozen=True)
class Data:
    """``class_names`` are those of the data; see :class:`DataSource`."""

    class_names: tuple[str, ...] | None
    names_are_given: bool
    settings: DataConfig
    pixels: Pixels


def read_data(root: Node) -> Data:
    """``data``: the pipelines, and how images are passed over."""
    reading = root.reading
    node = root.optional_child("data") or Node({}, "data", reading)
    source = _read_source(node, "train")
    train = read_pipeline(source.pipeline, training=True)
    is_known = bool(source.pipeline) and not reading.obstacles
    key = "test" if node.has("test") or not node.has("val") else "val"
    held_out = _read_source(node, key)
    test = read_pipeline(held_out.pipeline, training=False)
    if not held_out.pipeline:
        reading.note(reading.error("data.test.pipeline", "missing: how does an image get in?"))
    elif is_known and train.normalization != test.normalization:
        reason = "makes other pixels than data.test.pipeline"
        reading.note(reading.error("data.train.pipeline", reason))
    if is_known and train.padding != test.padding:  # a model has one padding
        for pipeline in (train, test):
            pad_at_once(pipeline)
    if not source.pipeline:
        reading.note(reading.error("data.train.pipeline", "missing"))
    _leave_validation(node, test_key=key)
    names, given = source.class_names, source.names_are_given
    if not given and held_out.names_are_given:
        names, given = held_out.class_names, True
    elif names is None:
        names = held_out.class_names
    elif held_out.names_are_given and held_out.class_names != names:
        reading.aside[f"data.{key}.classes"] = (
            "those of data.train are the ones that are trained; classes of data meet them by name"
        )
    node.ignore("persistent_workers")
    balances = _balances_classes(node)
    images = _images_per_device(node)
    settings = DataConfig(
        train_transforms=tuple(train.transforms),
        test_transforms=tuple(test.transforms),
        images_per_device=images,
        workers=node.take("workers_per_gpu", 2),
        repeats=source.repeats,
        skip_empty=source.skip_empty,
        min_object_size=source.min_object_size,
        learn_crowds=source.learns_crowds,
        oversample_threshold=source.oversample_threshold,
        balance_classes=balances,
        tta=test.tta,
        train_proposals=train.proposals,
        test_proposals=test.proposals,
        metric=source.metric or held_out.metric,
        masks=train.masks,
    )
    return Data(names, given, settings, _pixels(test))


def _read_source(node: Node, key: str) -> DataSource:
    """The data set at ``key``, one without steps where there is none or it cannot be read."""
    nothing = DataSource(None, names_are_given=False, pipeline=[])
    if not node.has(key):
        node.take(key, None)
        return nothing
    path = node.at(key)
    return node.reading.attempt(path, lambda: read_datasets(node, key), nothing)


def _leave_validation(node: Node, test_key: str) -> None:
    """``data.val``: evaluations during training use the pipeline of the test."""
    value, test = node.original.get("val"), node.original.get(test_key)
    node.take_any("val")
    same = ("ann_file", "img_prefix", "seg_prefix", "proposal_file", "samples_per_gpu", "classes")
    if isinstance(value, Mapping) and isinstance(test, Mapping):
        kept = [{k: v for k, v in one.items() if k not in same} for one in (value, test)]
        if kept[0] != kept[1]:
            node.reading.aside["data.val"] = "evaluation uses the pipeline of data.test"


def _balances_classes(node: Node) -> bool:
    """``train_dataloader.class_aware_sampler``."""
    loader = node.original.get("train_dataloader")
    if not isinstance(loader, Mapping) or loader.get("class_aware_sampler") is None:
        return False
    sampler = Node(loader["class_aware_sampler"], "data.train_dataloader", node.reading)
    sampler.expect("num_sample_class", 1, "as classes take turns image by image")
    return True


def _images_per_device(node: Node) -> int:
    """``samples_per_gpu``, its older name, or that of the loader's own settings."""
    older = node.take("imgs_per_gpu", None)
    loader = node.optional_child("train_dataloader")
    own = None if loader is None else loader.take("samples_per_gpu", None)
    if loader is not None:
        node.reading.forget(loader.path)
    for key in ("val_dataloader", "test_dataloader"):
        node.take_any(key)
    return node.take("samples_per_gpu", 2 if older is None else older) if own is None else own


def _pixels(pipeline: Pipeline) -> Pixels:
    if pipeline.normalization is None:
        return Pixels(
            mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), order="bgr", padding=pipeline.padding
        )
    mean, std, to_rgb = pipeline.normalization
    return Pixels(
        mean=mean,
        std=std,
        order="rgb" if to_rgb else "bgr",
        padding=pipeline.padding,
    )
