"""Loads detectors from checkpoints, exported files and zoo names."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from detzoo import zoo
from detzoo.checkpoints import catalog, checkpoint
from detzoo.checkpoints.architecture import architecture, architecture_of, changed_modules
from detzoo.config import ConfigError, from_dict
from detzoo.detectors.base import Detector
from detzoo.devices import Precision, resolve_device
from detzoo.errors import CheckpointError
from detzoo.experiment import Experiment
from detzoo.files import read_json
from detzoo.inference.exported import EXPORTED
from detzoo.inference.predictor import Predictor
from detzoo.inference.runtimes import open_exported
from detzoo.layers.fusion import fuse
from detzoo.weights.locate import find_published_file
from detzoo.weights.places import SUFFIXES, Published, checkpoint_of_run, is_address, zoo_file
from detzoo.zoo.entry import Entry


def load(
    source: Path | str,
    weights: Path | str | None = None,
    device: str | torch.device | None = None,
    precision: Precision | None = None,
    *,
    model: Detector | None = None,
    fused: bool = True,
    import_modules: Sequence[str] = (),
    trust: bool = False,
) -> Predictor:
    """Loads the detector in a checkpoint, or the zoo model called ``source``.

    The folder of a run stands for its best.pt (or else last.pt). A checkpoint of MMDetection 2.x
    will do, a file that ``detzoo export`` wrote (on the CPU, with the experiment, weights and
    precision that are in it), and an address, ``https://...`` or ``hf://user/repo/file``, in place
    of a path. ``weights`` is a file with other weights for it: a checkpoint of the same model,
    whose class names count, or bare weights. A zoo name without it takes the published file, from a
    folder, a cache or a mirror (``weights/locate.py``); a config file always needs it. ``device``
    None takes a GPU where there is one. ``precision`` "bf16" is faster and almost as accurate; None
    takes the one in which the training of a checkpoint was evaluated, and fp32 for what others
    published. ``fused`` false leaves the layers as they are: slower on a CPU, but open to hooks,
    changes and training (``Predictor.model``).

    ``model`` is the detector to load the weights into, where its layers are not those of its
    configuration: a checkpoint of such a detector opens only with one that was changed likewise.

    ``import_modules`` are imported first: those with config classes of your own that the
    checkpoint may name. ``trust`` allows a V2 config file to be executed, as MMDetection does, and
    exported programs of PyTorch to be opened; without it, nothing ever is executed.

    Raises :class:`CheckpointError`, :class:`DeviceError`, and :class:`UserError` for an unknown
    name.
    """
    catalog.import_modules(import_modules)
    if os.fspath(source).endswith(EXPORTED):
        exported = open_exported(Path(source), trust=trust)
        return Predictor(exported.details.experiment, exported, fused=False)
    device = resolve_device(device)
    origin: Path | str = source if weights is None else weights
    thresholds = None
    if is_checkpoint_path(source):
        opened = checkpoint.read(source)
        experiment = opened.experiment
        precision = precision or opened.precision
        if model is None:
            checkpoint.require_unchanged(opened, source)
        else:
            wanted = architecture_of(experiment)
            changes = changed_modules(architecture(model), wanted)
            checkpoint.require_same_changes(changes, opened, source)
        given = opened.to_detect if weights is None else checkpoint.read_weights(weights)
        thresholds = opened.thresholds if weights is None else None
    else:
        experiment = find_experiment(os.fspath(source), trust=trust)
        if weights is None:
            origin = published_weights(os.fspath(source))
        given = checkpoint.read_weights(origin)
    if given.class_names is not None and not experiment.model.is_class_agnostic:
        names = given.class_names
        if os.fspath(source).endswith(".py") and len(names) < len(experiment.all_names):
            names = _row_names(experiment, names, given)
        experiment = experiment.with_all_names(names, given.num_stuff)
    detector = experiment.build_model() if model is None else model
    checkpoint.load_strictly(detector, given.tensors, str(origin))
    detector = detector.to(device)
    if fused and model is None:  # the original is not needed
        detector = fuse(detector, takes_over=True)
    return Predictor(experiment, detector, precision or "fp32", fused=fused, thresholds=thresholds)


def _row_names(
    experiment: Experiment, names: tuple[str, ...], given: checkpoint.Weights
) -> tuple[str, ...]:
    """``names``, extended to the configuration's number of classes if the weights have as many."""
    with torch.device("meta"):
        own = experiment.with_all_names(names).build_model().state_dict()
    if not checkpoint.mismatches(own, given.tensors):
        return names
    unnamed = range(len(names), len(experiment.all_names))
    return (*names, *(f"class_{i + 1}" for i in unnamed))


def find_experiment(source: str, *, trust: bool = False, to_train: bool = False) -> Experiment:
    """Returns the experiment of a zoo name, a checkpoint, an ``experiment.json`` or a V2 config.

    A config file of MMDetection 2.x (``.py``) is a program, which is executed only if ``trust`` is
    set. In such a file, and in the configuration of an MMDetection checkpoint, only what inference
    needs has to be supported, unless ``to_train`` is set. Raises :class:`UserError`.
    """
    if source.endswith(".py"):
        from detzoo.mmdet import import_file

        imported = import_file(source, trust=trust)
        return imported.to_train() if to_train else imported.experiment
    if source.endswith(".json"):
        try:
            experiment: Experiment = from_dict(read_json(source), catalog.config_classes())
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
        return experiment
    if is_checkpoint_path(source):
        return checkpoint.read(source, to_train=to_train).experiment
    return zoo.find(source).experiment


def published_weights(source: str) -> Path:
    """The published weights of the zoo model ``source``; a config file has none."""
    if source.endswith((".py", ".json")):
        raise CheckpointError(
            f"{source}: a configuration has no weights. Give them with weights=FILE, or --weights "
            "FILE."
        )
    return find_published(zoo.find(source))


def list_models(pattern: str = "*") -> tuple[str, ...]:
    """Names in the zoo that match ``pattern``, such as ``"mask_rcnn_*"``."""
    return tuple(e.name for e in zoo.entries() if fnmatch.fnmatch(e.name, pattern))


def is_checkpoint_path(source: Path | str) -> bool:
    """Whether ``source`` is the path of a checkpoint, existing or not, rather than a name or
    config.
    """
    if is_address(source):
        return True
    text = os.fspath(source)
    if text.endswith((".py", ".json")):
        return False
    return Path(text).suffix in SUFFIXES or os.sep in text or checkpoint_of_run(text).is_file()


def find_published(entry: Entry) -> Path:
    """Returns the published weights of ``entry`` on this machine, downloading them if necessary.

    Raises :class:`CheckpointError`, naming the file and the places tried.
    """
    file = published_file(entry)
    if file is None:
        raise CheckpointError(
            f"{entry.name}: no weights were published for it. Train it, or give your "
            "own weights (weights=FILE, or --weights FILE)."
        )
    return find_published_file(
        (file,), entry.name, "give another (weights=FILE, or --weights FILE)"
    )


def published_file(entry: Entry) -> Published | None:
    """The published weights of ``entry`` and their addresses; None if there are none."""
    path = zoo.family_of(entry).weights_path(entry)
    return None if path is None else zoo_file(path)
