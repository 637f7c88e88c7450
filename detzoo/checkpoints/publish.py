"""Publishes checkpoints: the weights for inference, named by their hash, and a model card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2

import detzoo
from detzoo.backbones.pretrained import is_file_name
from detzoo.checkpoints.checkpoint import Checkpoint, load_strictly, read, save
from detzoo.errors import CheckpointError
from detzoo.experiment import Experiment
from detzoo.weights.files import sha256_of
from detzoo.weights.places import is_address

CARD = "README.md"
_TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
# Characters that Markdown interprets; an underscore within a word is not among them.
_MARKUP = re.compile(r"[\\`*\[\]<>|~]|(?<!\w)_|_(?!\w)")


@dataclass(frozen=True)
class Facts:
    """Facts for a model card that the checkpoint does not contain; None if unknown.

    ``metrics`` maps names to values from 0 to 1.
    """

    license: str | None = None
    training_data: str | None = None
    test_data: str | None = None
    metrics: Mapping[str, float] | None = None


def without_training(checkpoint: Checkpoint) -> Checkpoint:
    """Returns ``checkpoint`` with the weights for inference (averaged, if any) and the
    configuration only, without folders of this machine.
    """
    return replace(
        checkpoint,
        experiment=_without_folders(checkpoint.experiment),
        model=checkpoint.to_detect.tensors,
        ema=None,
        training=None,
    )


def write_published(checkpoint: Checkpoint, folder: Path, name: str) -> Path:
    """Writes ``checkpoint`` to ``folder/NAME-HASH.pt`` and returns this path.

    The hash is the first eight digits of the file's SHA-256, as in published files of MMDetection
    and torchvision. Raises :class:`CheckpointError` where it cannot be written, or does not open as
    the same detector.
    """
    unnamed = folder / f".{name}.pt"
    try:
        save(unnamed, checkpoint)
        opened = read(unnamed)
        if not opened.changed_modules:
            load_strictly(opened.experiment.build_model(), opened.model, name)
        return unnamed.replace(folder / f"{name}-{sha256_of(unnamed)[:8]}.pt")
    finally:
        unnamed.unlink(missing_ok=True)


def model_card(checkpoint: Checkpoint, file: Path, facts: Facts, repository: str | None) -> str:
    """The model card of a published ``file``, in Markdown with the metadata header of the Hugging
    Face Hub. ``repository`` is where it will be on the hub, ``user/repo``.
    """
    model = checkpoint.experiment.model
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["plain"] = _plain
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        name=re.sub(r"-[0-9a-f]{8}$", "", file.stem),
        file=file.name,
        size=file.stat().st_size / 1e6,
        address=file.name if repository is None else f"hf://{repository}/{file.name}",
        facts=facts,
        checkpoint=checkpoint,
        experiment=checkpoint.experiment,
        detector=_kind(model),
        parts=[_kind(part) for part in vars(model).values() if _kind(part) != type(part).__name__],
        pretrained=model.backbone.pretrained_name,
        optimizer=_kind(checkpoint.experiment.optimizer),
        parameters=sum(tensor.numel() for tensor in checkpoint.model.values()),
        version=detzoo.__version__,
    )


def write_card(folder: Path, text: str) -> Path:
    """Writes the model card. Raises :class:`CheckpointError` if it cannot be written."""
    path = folder / CARD
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error.strerror}).") from error
    return path


def _without_folders(experiment: Experiment) -> Experiment:
    """Replaces paths of weights by file names, which also determine their normalization."""
    model, initial = experiment.model, experiment.initial_weights
    name = model.backbone.pretrained
    if name is not None and is_file_name(name) and not is_address(name):
        model = replace(model, backbone=replace(model.backbone, pretrained=Path(name).name))
    if initial is not None and not is_address(initial):
        initial = Path(initial).name
    return replace(experiment, model=model, initial_weights=initial)


def _kind(part: object) -> str:
    return type(part).__name__.removesuffix("Config")


def _plain(text: str) -> str:
    """Escapes ``text`` for Markdown, on one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
