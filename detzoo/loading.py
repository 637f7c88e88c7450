"""Detectors by the path of a checkpoint or by a name of the zoo."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import replace
from pathlib import Path

import torch

from detzoo import checkpoint, zoo
from detzoo.backbones.pretrained import find_weights
from detzoo.devices import resolve_device
from detzoo.errors import CheckpointError
from detzoo.predictor import Predictor
from detzoo.zoo.entry import Entry


def load(
    source: Path | str, weights: Path | str | None = None, device: str | torch.device | None = None
) -> Predictor:
    """The detector in a checkpoint, or the one that the zoo calls ``source``.

    ``weights`` is a file with other weights for it: a checkpoint of the same model, whose class
    names count, or bare weights. A zoo name without it takes the published file, where that lies
    in a folder of ``DETZOO_WEIGHTS`` or in a cache. ``device`` None takes a GPU where there is one.

    Raises :class:`CheckpointError`, :class:`DeviceError`, and :class:`UserError` for an unknown
    name.
    """
    device = resolve_device(device)
    if is_checkpoint_path(source):
        experiment = checkpoint.read(source).experiment
        origin = source if weights is None else weights
    else:
        entry = zoo.find(os.fspath(source))
        experiment = entry.experiment
        origin = find_published(entry) if weights is None else weights
    given = checkpoint.read_weights(origin)
    if given.class_names is not None:
        experiment = replace(experiment, class_names=given.class_names)
    model = experiment.build_model()
    checkpoint.load_strictly(model, given.tensors, str(origin))
    return Predictor(experiment, model.to(device))


def list_models(pattern: str = "*") -> tuple[str, ...]:
    """Names in the zoo that match ``pattern``, such as ``"mask_rcnn_*"``."""
    return tuple(e.name for e in zoo.entries() if fnmatch.fnmatch(e.name, pattern))


def is_checkpoint_path(source: Path | str) -> bool:
    """Whether ``source`` means a file, there or not, rather than a name of the zoo."""
    text = os.fspath(source)
    return Path(text).suffix in (".pt", ".pth") or os.sep in text or Path(text).is_file()


def find_published(entry: Entry) -> Path:
    """The published weights of ``entry`` on this machine.

    Raises :class:`CheckpointError`, naming the file and the places tried.
    """
    if entry.weights is None:
        raise CheckpointError(
            f"{entry.name}: no weights were published for it. Train it, or give weights of your "
            "own (weights=FILE, or --weights FILE)."
        )
    other = "give another (weights=FILE, or --weights FILE)"
    return find_weights(Path(entry.weights).name, entry.name, other)
