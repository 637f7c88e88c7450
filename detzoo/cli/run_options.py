"""The options of a run: saved in its folder, so that ``--resume`` needs no others."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detzoo.errors import ConfigError
from detzoo.weights.places import is_address

FILE = "run.json"

_PATHS = ("weights", "proposals", "val_proposals", "semantic_maps")
_LISTS_OF_PATHS = ("data", "images", "val", "val_images")
# When given on resuming, these are added to the saved ones; loggers with "none" replace them.
_GROWING_LISTS = ("settings", "imports", "loggers", "callbacks")
_LISTS = (*_LISTS_OF_PATHS, *_GROWING_LISTS)
# Options that are not called like their fields.
_SPELLING = {
    "settings": "set",
    "imports": "import",
    "loggers": "logger",
    "callbacks": "callback",
    "compile_model": "compile",
}


@dataclass(frozen=True)
class RunOptions:
    """The options of ``detzoo train`` by name, except for the output folder.

    Paths are absolute, so that a run can be resumed from anywhere.
    """

    name: str | None = None
    data: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    split: str = "train"
    val: tuple[str, ...] = ()
    val_images: tuple[str, ...] = ()
    val_split: str | None = None
    val_fraction: float | None = None
    fold: str | None = None
    skip_broken: bool = False
    ignore_exif: bool = False
    proposals: str | None = None
    val_proposals: str | None = None
    semantic_maps: str | None = None
    classes: str | None = None
    weights: str | None = None
    from_scratch: bool = False
    image_size: str | None = None
    lr: float | None = None
    freeze: int | None = None
    settings: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    trust: bool = False
    epochs: int | None = None
    batch_size: int | Literal["auto"] | None = None
    val_batch_size: int = 1
    workers: int | None = None
    precision: str | None = None
    lr_scaling: bool = True
    early_stopping: str | None = None
    seed: int | None = None
    checkpoint_steps: int | None = None
    loggers: tuple[str, ...] = ()
    callbacks: tuple[str, ...] = ()
    report: bool = True
    fuse: bool = True
    compile_model: bool = False
    deterministic: bool = False
    device: str | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> RunOptions:
        """Selects the options from the parameters of the command."""
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in parameters.items() if name in known}
        for name in _PATHS:
            if values[name] is not None and not is_address(values[name]):
                values[name] = str(Path(values[name]).absolute())
        for name in _GROWING_LISTS:
            values[name] = tuple(values[name] or ())
        for name in _LISTS_OF_PATHS:
            values[name] = tuple(str(Path(path).absolute()) for path in values[name] or ())
        if values["name"] is not None and Path(values["name"]).is_file():
            values["name"] = str(Path(values["name"]).absolute())
        values["batch_size"] = _batch_size(values["batch_size"])
        return cls(**values)

    def to_command(self) -> list[str]:
        """The command that these options were given to, without those that are the default."""
        command = ["detzoo", "train", *([] if self.name is None else [self.name])]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "name" or value == field.default:
                continue
            option = f"--{_SPELLING.get(field.name, field.name.replace('_', '-'))}"
            if isinstance(value, bool):
                negative = f"--no-{option[2:]}"
                command.append(option if value else negative)
            else:
                values = value if isinstance(value, tuple) else (value,)
                command += [part for one in values for part in (option, str(one))]
        return command

    def changed_by(
        self, given: RunOptions, explicit: Collection[str]
    ) -> tuple[RunOptions, RunOptions, list[str]]:
        """Returns these options updated with the ``explicit`` ones of ``given``, which were typed.

        Also returns the options that differ, and a note on each. Settings, modules, loggers and
        callbacks are added to the saved ones, but that the logger "none" drops those; data replaces
        the saved data.
        """
        new: dict[str, Any] = {}
        added: dict[str, Any] = {}
        notes = []
        for field in dataclasses.fields(self):
            old, value = getattr(self, field.name), getattr(given, field.name)
            if field.name not in explicit or value == old:
                continue
            if field.name == "loggers" and "none" in value:
                new[field.name] = value
                continue
            if field.name in _GROWING_LISTS:
                more = tuple(item for item in value if item not in old)
                if more:
                    added[field.name], new[field.name] = more, (*old, *more)
                continue
            added[field.name] = new[field.name] = value
            option = f"--{_SPELLING.get(field.name, field.name.replace('_', '-'))}"
            if field.name in _LISTS_OF_PATHS:
                old, value = " + ".join(old), " + ".join(value)
            notes.append(f"resuming with a changed option: {option} {old} -> {value}")
        return dataclasses.replace(self, **new), RunOptions(**added), notes


def _batch_size(text: str | None) -> int | Literal["auto"] | None:
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--batch-size {text}: give a number of images, from 1, or auto")
    return int(text)


def read_options(run_dir: Path) -> RunOptions | None:
    """Reads the options of a run; None if it has none. Raises :class:`ConfigError` for a damaged
    file.
    """
    file = run_dir / FILE
    if not file.is_file():
        return None
    try:
        kept: dict[str, Any] = json.loads(file.read_text())["options"]
        return RunOptions(**kept | {name: _as_tuple(kept[name]) for name in _LISTS})
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file}: is damaged ({error}). Remove it, and resume with the full command that "
            "started the run."
        ) from None


def _as_tuple(value: Any) -> tuple[str, ...]:
    """Reads a list, which older files store as one path or null."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def to_json(options: RunOptions) -> dict[str, Any]:
    """The content of the options file."""
    return {"options": dataclasses.asdict(options), "versions": versions()}


def version_changes(run_dir: Path) -> list[str]:
    """Notes on versions that differ from those that the run was last started with."""
    kept = json.loads((run_dir / FILE).read_text()).get("versions")
    if not isinstance(kept, dict):
        return []
    return [
        f"resuming with a changed version: {name} {kept[name]} -> {now}"
        for name, now in versions().items()
        if kept.get(name, now) != now
    ]


def versions() -> dict[str, str]:
    """The versions of everything that affects what a run computes."""
    from importlib.metadata import version

    import detzoo

    packages = {name: version(name) for name in ("torch", "torchvision", "numpy")}
    return {"detzoo": detzoo.__version__, **packages, "Python": platform.python_version()}
