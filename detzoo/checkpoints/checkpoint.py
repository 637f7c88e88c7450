"""Checkpoints: a detector with its configuration and class names in one file.

A checkpoint is a ``torch.save`` of plain values (tensors, dicts, lists, numbers, text). Loading one
never executes code from it; see ``weights/pickles.py``. Those of MMDetection 2.x are read too.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    """Tensors by name. ``class_names`` None: a file of bare weights, which names no classes."""

    tensors: Mapping[str, Tensor]
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds. ``training`` is what the training loop needs to go on.

    ``precision`` is the one in which its training was evaluated. ``changed_modules`` are those of
    the detector that are not its configuration's, in words (see
    :mod:`detzoo.checkpoints.architecture`). ``division`` says which images its training held out to
    evaluate on.
    """

    experiment: Experiment
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] | None = None
    training: Mapping[str, Any] | None = None
    precision: Precision = "fp32"
    changed_modules: tuple[str, ...] = ()
    division: Division | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.experiment.class_names

    @property
    def to_detect(self) -> Weights:
        """The weights to detect with: the averaged ones where there are any."""
        return Weights(self.model if self.ema is None else self.ema, self.class_names)


def save(path: Path | str, checkpoint: Checkpoint) -> None:
    """Writes ``checkpoint`` so that ``path`` always holds a whole file: the old or the new one.

    Raises :class:`CheckpointError` when it cannot be written, :class:`ConfigError` when nobody
    could read it.
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
    save_atomically(Path(path), content)


def save_atomically(path: Path, content: Any) -> None:
    """``torch.save`` to a temporary file beside ``path``, flushed to the disk, then renamed."""
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
        kept = " The file that was there is untouched." if path.exists() else ""
        raise CheckpointError(
            f"{path}: cannot be written: {reason(error)}. "
            f"Make room on the disk, or choose another folder with --out.{kept}"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def read(path: Path | str, *, to_train: bool = False) -> Checkpoint:
    """The checkpoint in ``path``, its tensors on the CPU. One of MMDetection 2.x is imported.

    ``path`` may be an address, ``https://...`` or ``hf://user/repo/file``, here and below. Of
    MMDetection's configuration only what detecting needs has to be understood, unless ``to_train``.

    Raises :class:`CheckpointError` when there is none, when it is damaged, when it was written by a
    newer detzoo or another MMDetection, or when the file is something else; :class:`UserError` when
    MMDetection's configuration cannot be imported.
    """
    return checkpoint_in(read_file(local_file(path)), path, to_train=to_train)


def checkpoint_in(content: Any, path: Path | str, *, to_train: bool = False) -> Checkpoint:
    """The checkpoint in ``content``, which :func:`read_file` returned; see :func:`read`."""
    if not is_ours(content):
        return _imported(content, path, to_train)
    absent = [key for key in _KEYS if key not in content]
    if absent:
        raise CheckpointError(f"{path}: an incomplete checkpoint: it has no {absent[0]!r}.")
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
        raise CheckpointError(
            f"{path}: its configuration cannot be used by detzoo {detzoo.__version__} (it was "
            f"written by {written_by}): {error}"
        ) from None
    if not isinstance(experiment, Experiment):
        raise CheckpointError(f"{path}: its configuration is none of an experiment.")
    return Checkpoint(
        experiment,
        named_tensors(content["model"], path),
        None if content["ema"] is None else named_tensors(content["ema"], path),
        _training(content, path),
        experiment.precision,
        _changed_modules(content, path),
        Division.from_json(content["division"], str(path)) if "division" in content else None,
    )


def _training(content: Mapping[str, Any], path: Path | str) -> Mapping[str, Any] | None:
    training = content["training"]
    if training is not None and not isinstance(training, Mapping):
        kind = type(training).__name__
        raise CheckpointError(f"{path}: is damaged: its 'training' is a {kind}, no dictionary.")
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
    # Here, and not above: ours are read without the importer and the zoo that it knows.
    from detzoo.mmdet.checkpoint import interpret, is_v2
    from detzoo.mmdet.convert import import_config
    from detzoo.mmdet.node import Reading

    if not is_v2(content):
        raise CheckpointError(
            f"{path}: not a detzoo checkpoint. A file of bare weights needs a model to go with it: "
            "detzoo.load(NAME, weights=FILE), or --weights FILE after a model's name."
        )
    found = interpret(content, path)
    imported = import_config(found.config(), Reading(found.source))
    experiment = imported.to_train() if to_train else imported.experiment
    # MMDetection names the classes of the data even where the detector knows none.
    if found.class_names is not None and not experiment.model.is_class_agnostic:
        names = imported.row_names(found.class_names)
        experiment = replace(experiment, class_names=names)
    return Checkpoint(experiment, found.tensors)


def read_weights(path: Path | str) -> Weights:
    """Weights of a checkpoint, or bare ones from ``.pth``, ``.safetensors``, ``.npz`` or ``.pkl``.

    Names that changed during MMDetection 2.x are those of its last version.
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
    """Raises :class:`CheckpointError` where the configuration does not describe the detector."""
    if checkpoint.changed_modules:
        raise CheckpointError(
            f"{path}: the detector that was trained is not the one of its configuration: "
            f"{listed(checkpoint.changed_modules)}. Build the detector, change it likewise, and "
            "open the file with it: detzoo.load(FILE, model=my_model)."
        )


def require_same_changes(changes: Sequence[str], checkpoint: Checkpoint, path: Path | str) -> None:
    """Raises :class:`CheckpointError` unless a detector with these ``changes`` was trained."""
    # What was there before may be called otherwise today.
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
    """Loads weights that must fit ``model`` in every name and shape.

    Counters of batch-norm may be missing, as they are in files of old torch versions.
    """
    own = model.state_dict()
    problems = mismatches(own, weights)
    if problems:
        raise CheckpointError(f"{source}: its weights belong to another model: {listed(problems)}.")
    model.load_state_dict({**{k: v for k, v in own.items() if is_counter(k)}, **weights})


def mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What keeps ``given`` from being loaded into a model with the tensors ``own``."""
    problems = [f"missing {name}" for name in own if name not in given and not is_counter(name)]
    problems += [f"unknown {name}" for name in given if name not in own]
    problems += [
        f"{name} has shape {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    return problems


def listed(things: Sequence[str], most: int = 6) -> str:
    """The first things, and how many more there are."""
    more = f"; and {len(things) - most} more" if len(things) > most else ""
    return "; ".join(things[:most]) + more


def is_counter(name: str) -> bool:
    """Whether ``name`` is the count of batches that a batch-norm has seen."""
    return name.endswith("num_batches_tracked")


def _require_plain(value: Any, where: str) -> None:
    """Raises TypeError for what :func:`read` would refuse: better now than after the training."""
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
    # Copied, so that a view never drags the whole of a larger tensor's storage into the file.
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _sync_directory(path: Path) -> None:
    """Makes the renaming itself durable, where the system can open folders."""
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
