"""Detectors of the zoo that together have every head and neck, narrow enough to run quickly.

Nothing is listed here: what a new family brings is found, and tested by being there.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.learning.families import CASES
from benchmarks.learning.narrow import narrow_experiment
from benchmarks.learning.scenes import STUFF
from benchmarks.learning.widths import build_narrow
from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import override
from detzoo.detectors.base import Detector
from detzoo.heads.roi.branched_box_head import BranchedBoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIPoolConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.quickstart.scenes import CLASSES
from detzoo.structures import ImageBatch, Targets
from detzoo.train.teacher import give_teacher
from detzoo.zoo.entry import Entry
from tests.detectors import models

NUM_CLASSES = len(CLASSES)
COUNTS = {"things": NUM_CLASSES, "stuff": len(STUFF), "all": NUM_CLASSES + len(STUFF)}
PARTS = ("detzoo.heads.", "detzoo.necks.")
# What every neck and backbone of the zoo can divide.
DIVISOR = 128
# Detectors for images of one size, changed to the size of these.
SETTINGS = {case.entry: case.settings for case in CASES}
# Of the names of parameters, beside the classes' own: what says that there is an object, or where.
DECISIVE = ("conv_obj", "conv_mask_list", "conv_kernel", "_heat.")


@functools.cache
def one_per_head() -> tuple[Entry, ...]:
    """The entries whose heads or neck have a class, or a switch, that no smaller entry's have."""
    known: set[str] = set()
    chosen = []
    # Receptive fields bring no head or neck, and dilations that were found are of full-size models.
    plain = [entry for entry in zoo.entries() if entry.experiment.receptive_fields is None]
    entries = (*plain, *beyond_the_zoo())
    for entry in sorted(entries, key=lambda entry: entry.parameters or math.inf):
        own = set(traits(entry.experiment.model))
        if own - known:
            chosen.append(entry)
            known |= own
    return tuple(chosen)


def beyond_the_zoo() -> tuple[Entry, ...]:
    """Models with parts that no entry has, but files of MMDetection's users."""
    base = zoo.find("mask_rcnn_r50_fpn_1x_coco").experiment
    parts = {
        "model.roi_head.box_head": BranchedBoxHeadConfig(
            num_shared_convs=1, num_shared_fcs=0, num_class_fcs=1, num_box_convs=1, averages=True
        ),
        "model.roi_head.extractor": PyramidRoIPoolConfig(output_size=7),
        "model.roi_head.mask_head": MaskHeadConfig(class_agnostic=True),
    }
    return tuple(
        Entry(path, override(base, path, part, config_classes())) for path, part in parts.items()
    )


def traits(value: Any) -> Iterator[str]:
    """The classes of heads and necks within, and of their parts; switches on, off or absent."""
    if isinstance(value, tuple):
        for item in value:
            yield from traits(item)
    if not dataclasses.is_dataclass(value):
        return
    counts = type(value).__module__.startswith(PARTS)
    if counts:
        yield type(value).__name__
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        yield from traits(part)
        if counts and (part is None or isinstance(part, bool | str)):
            yield f"{type(value).__name__}.{field.name}={part}"
        elif counts and type(part).__module__.startswith(PARTS):
            yield f"{type(value).__name__}.{field.name}={type(part).__name__}"


def build(entry: Entry) -> Detector:
    """The narrow detector, in training; its classes are those of the quickstart, or one."""
    experiment = narrow_experiment(entry.experiment, augment=False)
    for path, value in SETTINGS.get(entry.name, {}).items():
        experiment = override(experiment, path, value, config_classes())
    model = build_narrow(experiment)
    give_teacher(model, CLASSES)
    # A fresh residual block is its shortcut alone, and gives its other parts no gradient.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    model.enter_epoch(experiment.schedule.length - 1)
    model.enter_final_epochs()
    return model.train()


def certain(model: Detector) -> Detector:
    """In evaluation, with scores far from those of a fresh head, so that it finds something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # statistics of these images keep deep networks in bounds
    with torch.no_grad():
        model.train().extract_features(images().pixels)
    for name, parameter in model.named_parameters():
        if name in model.class_parameters() or any(part in name for part in DECISIVE):
            nn.init.normal_(parameter, std=0.3 if parameter.ndim > 1 else 0.0)
    return model.eval()


def silent(model: Detector) -> Detector:
    """In evaluation, with scores of its classes that are nothing."""
    for name, rows in model.class_parameters().items():
        if name.endswith(".bias"):
            bias = model.get_parameter(name)
            nn.init.zeros_(model.get_parameter(name.replace(".bias", ".weight")))
            nn.init.constant_(bias, -20.0)
            # Where background has an output of its own, the last, that is all that is left.
            others = rows.index(torch.arange(0), COUNTS[rows.of]).view(rows.groups, -1)
            bias.data[others[:, -1:]] = 20.0
    return model.eval()


def images(count: int = 2) -> ImageBatch:
    """Those of ``models``, padded further, and with proposals, for detectors that look at them."""
    batch = models.images(count)
    height, width = (-(-side // DIVISOR) * DIVISOR for side in batch.pixels.shape[2:])
    padded = batch.pixels.new_zeros((count, 3, height, width))
    padded[:, :, : batch.pixels.shape[2], : batch.pixels.shape[3]] = batch.pixels
    infos = tuple(dataclasses.replace(info, padded_size=(height, width)) for info in batch.infos)
    low = 60 * torch.rand((count, 20, 2), generator=torch.Generator().manual_seed(0))
    return ImageBatch(padded, infos, tuple(torch.cat([low, low + 30], 2)))


def with_maps(targets: Sequence[Targets]) -> list[Targets]:
    """With semantic maps at an eighth of the size; part of each is not labelled."""
    height, width = (-(-side // DIVISOR) * DIVISOR for side in models.SIZE)
    classes = torch.randint(0, models.CLASSES, (height // 8, width // 8)).to(torch.uint8)
    classes[:2] = 255
    return [dataclasses.replace(target, semantic_map=classes) for target in targets]
