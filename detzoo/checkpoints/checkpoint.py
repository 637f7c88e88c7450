"""Checkpoints: a detector with its configuration and class names in one file.

A checkpoint is a ``torch.save`` of plain values (tensors, dicts, lists, numbers, text). Loading one
never executes code from it; see ``weights/pickles.py``. MMDetection 2.x checkpoints are also
supported.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import detzoo
from detzoo.checkpoints.catalog import config_classes, require_importable
from detzoo.config import ConfigError, from_dict, to_dict
from detzoo.data.hold_out import Division
from detzoo.devices import Precision
from detzoo.errors import CheckpointError
from detzoo.experiment import Experiment
from detzoo.weights.files import named_tensors, read_file, reason, tensors_in
from detzoo.weights.locate import local_file

FORMAT = 1
_MARK = "detzoo checkpoint"
_KEYS = ("format", "experiment", "model", "ema", "training")


@dataclass(frozen=True)
class Weights:
    """Tensors by name. ``class_names`` is None for bare weights, which have no class names.

    Those of a panoptic detector are its things, then its stuff: the last ``num_stuff``, None where
    the file does not say how many.
    """

    tensors: Mapping[str, Tensor]
    class_names: tuple[str, ...] | None = None
    num_stuff: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file. ``training`` is the state for resuming training.

    ``precision`` is the one in which its training was evaluated. ``changed_modules`` are those of
    the detector that are not its configuration's, in words (see
    :mod:`detzoo.checkpoints.architecture`). ``division`` says which images its training held out to
    evaluate on. ``thresholds`` are the scores by class from which on detections are worth showing.
    """

    experiment: Experiment
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] | None = None
    training: Mapping[str, Any] | None = None
    precision: Precision = "fp32"
    changed_modules: tuple[str, ...] = ()
    division: Division | None = None
    thresholds: Mapping[str, float] | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.experiment.class_names

    @property
    def to_detect(self) -> Weights:
        """The weights for inference: the averaged ones if there are any."""
        tensors = self.model if self.ema is None else self.ema
        return Weights(tensors, self.experiment.all_names, len(self.experiment.stuff_names))


def save(path: Path | str, checkpoint: Checkpoint) -> None:
    """Writes ``checkpoint`` atomically: ``path`` always contains a complete file, old or new.

    Raises :class:`CheckpointError` if it cannot be written, and :class:`ConfigError` if it could
    not be read again.
    """
    require_importable(checkpoint.experiment)
    content = {
        "what": _MARK,
        "format": FORMAT,
        "detzoo": detzoo.__version__,
        "torch": str(torch.__version__),
        "experiment": to_dict(checkpoint.experiment),
        "class_names": list(checkpoint.class_names),
        "model": _on_cpu(checkpoint.model),
        "ema": None if checkpoint.ema is None else _on_cpu(checkpoint.ema),
        "training": None if checkpoint.training is None else dict(checkpoint.training),
        "changed_modules": list(checkpoint.changed_modules),
    }
    if checkpoint.division is not None:
        content["division"] = checkpoint.division.to_json()
    if checkpoint.thresholds is not None:
        content["thresholds"] = dict(checkpoint.thresholds)
    save_atomically(Path(path), content)


def save_atomically(path: Path, content: Any) -> None:
    """``torch.save`` to a temporary file next to ``path``, flushed to disk, then renamed."""
    _require_plain(content, "content")
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
        ) as file:
            temporary = Path(file.name)
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        _sync_directory(path.parent)
    # torch's writer reports a failed write as a RuntimeError.
    except (OSError, RuntimeError) as error:
        kept = " The existing file is unchanged." if path.exists() else ""
        raise CheckpointError(
            f"{path}: cannot be written: {reason(error)}. "
            f"Free some disk space, or choose another folder with --out.{kept}"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def read(path: Path | str, *, to_train: bool = False) -> Checkpoint:
    """Reads the checkpoint in ``path`` with tensors on the CPU. MMDetection 2.x's are converted.

    ``path`` may be the folder of a run (its best.pt, or else last.pt) or an address,
    ``https://...`` or ``hf://user/repo/file``, here and below. Of
    MMDetection's configuration only what inference needs has to be supported, unless ``to_train``
    is set. Raises :class:`CheckpointError` if the file does not exist, is damaged, is not a
    checkpoint, or was written by a newer detzoo or an unsupported MMDetection; :class:`UserError`
    if MMDetection's configuration cannot be imported.
    """
    return checkpoint_in(read_file(local_file(path)), path, to_train=to_train)


def checkpoint_in(content: Any, path: Path | str, *, to_train: bool = False) -> Checkpoint:
    """The checkpoint in ``content``, which :func:`read_file` returned; see :func:`read`."""
    if not is_ours(content):
        return _imported(content, path, to_train)
    absent = [key for key in _KEYS if key not in content]
    if absent:
        raise CheckpointError(f"{path}: is an incomplete checkpoint, without {absent[0]!r}.")
    written_by = f"detzoo {content.get('detzoo')!s:.40}"
    if type(content["format"]) is not int or content["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: has checkpoint format {content['format']!s:.40}, written by {written_by}; "
            f"this is detzoo {detzoo.__version__}, which reads format {FORMAT}. Install the "
            "version that wrote it."
        )
    try:
        experiment = from_dict(content["experiment"], config_classes())
    except ConfigError as error:
        this = f"detzoo {detzoo.__version__}"
        where = "" if this == written_by else f" by {this} (it was written by {written_by})"
        raise CheckpointError(f"{path}: its configuration cannot be used{where}: {error}") from None
    if not isinstance(experiment, Experiment):
        raise CheckpointError(f"{path}: its configuration is not that of an experiment.")
    return Checkpoint(
        experiment,
        named_tensors(content["model"], path),
        None if content["ema"] is None else named_tensors(content["ema"], path),
        _training(content, path),
        experiment.precision,
        _changed_modules(content, path),
        Division.from_json(content["division"], str(path)) if "division" in content else None,
        _thresholds(content, path),
    )


def _thresholds(content: Mapping[str, Any], path: Path | str) -> Mapping[str, float] | None:
    thresholds = content.get("thresholds")
    if thresholds is None:
        return None
    if not isinstance(thresholds, Mapping) or not all(
        isinstance(name, str) and isinstance(value, float) and 0 <= value <= 1
        for name, value in thresholds.items()
    ):
        raise CheckpointError(f"{path}: is damaged: its thresholds are not scores by class.")
    return thresholds


def _training(content: Mapping[str, Any], path: Path | str) -> Mapping[str, Any] | None:
    training = content["training"]
    if training is not None and not isinstance(training, Mapping):
        kind = type(training).__name__
        raise CheckpointError(f"{path}: is damaged: its 'training' is a {kind}, not a dictionary.")
    return training


def _changed_modules(content: Mapping[str, Any], path: Path | str) -> tuple[str, ...]:
    changes = content.get("changed_modules", [])
    if not isinstance(changes, list) or not all(isinstance(change, str) for change in changes):
        raise CheckpointError(
            f"{path}: is damaged: its 'changed_modules' is not a list of strings."
        )
    return tuple(changes)


def _imported(content: Any, path: Path | str, to_train: bool) -> Checkpoint:
    """The checkpoint of MMDetection 2.x in ``content``."""
    # Imported here: detzoo's own checkpoints are read without the importer and the zoo.
    from detzoo.mmdet.checkpoint import interpret, is_v2
    from detzoo.mmdet.convert import import_config
    from detzoo.mmdet.node import Reading

    if not is_v2(content):
        raise CheckpointError(
            f"{path}: is not a detzoo checkpoint. Bare weights need a model to load them into: "
            "detzoo.load(NAME, weights=FILE), or --weights FILE after a model's name."
        )
    found = interpret(content, path)
    imported = import_config(found.config(), Reading(found.source))
    experiment = imported.to_train() if to_train else imported.experiment
    # MMDetection stores the classes of the data even if the detector is class-agnostic.
    if found.class_names is not None and not experiment.model.is_class_agnostic:
        names = imported.row_names(found.class_names)
        experiment = experiment.with_all_names(names)
    return Checkpoint(experiment, found.tensors)


def read_weights(path: Path | str) -> Weights:
    """Reads the weights of a checkpoint, or bare ones (``.pth``, ``.safetensors``, ``.npz``,
    ``.pkl``).

    Parameter names that changed during MMDetection 2.x are converted to those of its last version.
    """
    return weights_in(read_file(local_file(path)), path)


def weights_in(content: Any, path: Path | str) -> Weights:
    """The weights in ``content``, which :func:`read_file` returned; see :func:`read_weights`."""
    if is_ours(content):
        checkpoint = checkpoint_in(content, path)
        require_unchanged(checkpoint, path)
        return checkpoint.to_detect

    from detzoo.mmdet.checkpoint import interpret, is_v2
    from detzoo.mmdet.renames import current_names

    if is_v2(content):
        found = interpret(content, path)
        return Weights(found.tensors, found.class_names)
    return Weights(current_names(tensors_in(content, path)))


def require_unchanged(checkpoint: Checkpoint, path: Path | str) -> None:
    """Raises :class:`CheckpointError` if modules differ from those of the configuration."""
    if checkpoint.changed_modules:
        raise CheckpointError(
            f"{path}: the trained detector differs from its configuration: "
            f"{listed(checkpoint.changed_modules)}. Build the detector, change it in the same way, "
            "and open the file with it: detzoo.load(FILE, model=my_model)."
        )


def require_same_changes(changes: Sequence[str], checkpoint: Checkpoint, path: Path | str) -> None:
    """Raises :class:`CheckpointError` unless a detector with these ``changes`` was trained."""
    # The original modules may be described differently by other versions.
    own, saved = (
        {change.partition(" instead of ")[0]: change for change in side}
        for side in (changes, checkpoint.changed_modules)
    )
    if own.keys() == saved.keys():
        return
    differences = [f"the file has {saved[key]}" for key in saved if key not in own]
    differences += [f"the model has {own[key]}" for key in own if key not in saved]
    raise CheckpointError(f"{path}: belongs to another detector: {listed(differences)}.")


def is_ours(content: Any) -> bool:
    """Whether :func:`read_file` returned a checkpoint that detzoo wrote, of any version."""
    what = content.get("what") if isinstance(content, Mapping) else None
    return isinstance(what, str) and what == _MARK


def load_strictly(model: torch.nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Loads weights that must match ``model`` in every name and shape.

    Batch counters of batch norms may be missing, as in files of old PyTorch versions.
    """
    own = model.state_dict()
    problems = mismatches(own, weights)
    if problems:
        raise CheckpointError(f"{source}: its weights belong to another model: {listed(problems)}.")
    model.load_state_dict({**{k: v for k, v in own.items() if is_counter(k)}, **weights})


def mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Describes why ``given`` cannot be loaded into a model with the tensors ``own``."""
    problems = [f"missing {name}" for name in own if name not in given and not is_counter(name)]
    problems += [f"unknown {name}" for name in given if name not in own]
    problems += [
        f"{name} has shape {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    return problems


def listed(things: Sequence[str], most: int = 6) -> str:
    """Lists the first items, and how many more there are."""
    more = f"; and {len(things) - most} more" if len(things) > most else ""
    return "; ".join(things[:most]) + more


def is_counter(name: str) -> bool:
    """Whether ``name`` is the batch counter of a batch norm (``num_batches_tracked``)."""
    return name.endswith("num_batches_tracked")


def _require_plain(value: Any, where: str) -> None:
    """Raises TypeError for values that :func:`read` would refuse, so that saving fails early."""
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _require_plain(key, where)
            _require_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for i, item in enumerate(value):
            _require_plain(item, f"{where}[{i}]")
    elif not isinstance(value, Tensor) and type(value) not in (str, int, float, bool, type(None)):
        raise TypeError(f"{where}: a {type(value).__name__} cannot be saved; checkpoints are plain")


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Cloned, so that a view does not save the entire storage of a larger tensor.
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _sync_directory(path: Path) -> None:
    """Flushes the renaming to disk, if the operating system can open folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
