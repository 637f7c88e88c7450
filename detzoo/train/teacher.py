"""Gives a detector that learns from a teacher its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from detzoo import zoo
from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.transfer import initialize
from detzoo.detectors.base import Detector
from detzoo.detectors.distilled import Distilled
from detzoo.errors import ConfigError
from detzoo.inference.loading import find_published, is_checkpoint_path


def give_teacher(model: Detector, class_names: Sequence[str]) -> None:
    """Gives ``model`` the trained teacher of its configuration, if it learns from one and has none.

    A teacher that rates classes must know those of the data. Raises :class:`UserError` where its
    weights cannot be found or belong to another model.
    """
    if not isinstance(model, Distilled) or model.teacher is not None:
        return
    config, source = model.config.teacher, model.config.teacher_weights
    if config is None:
        return
    if source is None:
        with torch.random.fork_rng(devices=[]):
            model.learn_from(config.build(len(class_names)))
        return
    file: Path | str = source
    names: tuple[str, ...] | None = None
    if not is_checkpoint_path(source):
        entry = zoo.find(source)
        file, names = find_published(entry), entry.experiment.class_names
    weights = checkpoint.read_weights(file)
    names = weights.class_names or names or tuple(class_names)
    if model.bbox_head.teacher_knows_classes and set(names) != set(class_names):
        raise ConfigError(
            f"model.teacher_weights: {source} knows {len(names)} classes that are not the "
            f"{len(class_names)} of the data, and it is to tell which anchors are theirs. Train a "
            "teacher on the same data first, and give its checkpoint."
        )
    known = tuple(class_names) if set(names) == set(class_names) else names
    with torch.random.fork_rng(devices=[]):
        teacher = config.build(len(known))
    initialize(teacher, weights.tensors, from_names=names, to_names=known, source=str(source))
    model.learn_from(teacher)
