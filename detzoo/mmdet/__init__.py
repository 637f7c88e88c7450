"""MMDetection 2.x from the outside: its configuration files and its checkpoints.

The only place of detzoo that knows MMDetection. ``read_config`` reads files into dictionaries,
without executing them unless they are trusted,
``convert`` turns these into experiments: each V2 type has an adapter (in ``adapters/``, marked with
``@adapts``) that takes the keys it understands from a :class:`~detzoo.mmdet.node.Node`; facts that
V2 repeats are checked, not stored; what nobody takes is an obstacle to what needs it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from detzoo.experiment import Experiment
from detzoo.mmdet.adapters.datasets import BASES
from detzoo.mmdet.convert import Imported, experiment_of, import_config
from detzoo.mmdet.data_paths import data_paths
from detzoo.mmdet.node import Reading
from detzoo.mmdet.own_datasets import OwnDataset, find_dataset
from detzoo.mmdet.read_config import Files, read_config

__all__ = ["Imported", "experiment_of", "import_file", "read_config", "read_experiment"]


def import_file(path: str | Path, *, trust: bool = False) -> Imported:
    """What a V2 configuration file describes; it is executed only if ``trust`` is set.

    Raises :class:`ConfigError` naming the file and the places in it, for what stands in the way of
    detecting; ``Imported.to_train`` does for what stands in the way of training alone.
    """
    files = Files(trust)
    config = files.read_all(path)

    def find(name: str) -> OwnDataset | None:
        return find_dataset(name, Path(path).resolve(), _custom_imports(config), tuple(BASES))

    imported = import_config(config, Reading(str(path), find), files.read_files)
    found = {key: data_paths(config, key, Path(path)) for key in ("train", "val", "test")}
    paths = {key: one for key, one in found.items() if one is not None}
    return dataclasses.replace(imported, paths=paths)


def read_experiment(path: str | Path, *, trust: bool = False) -> Experiment:
    """The experiment of a V2 configuration file, to train; see :func:`import_file`.

    Raises :class:`ConfigError` naming the file and the places in it.
    """
    return import_file(path, trust=trust).to_train()


def _custom_imports(config: dict[str, Any]) -> list[str]:
    """The modules that the configuration asks MMDetection to import."""
    section = config.get("custom_imports")
    names = section.get("imports") if isinstance(section, dict) else None
    names = [names] if isinstance(names, str) else names
    return [str(name) for name in names] if isinstance(names, list | tuple) else []
