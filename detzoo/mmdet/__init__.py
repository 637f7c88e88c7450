"""MMDetection 2.x from the outside: its configuration files and its checkpoints.

The only place of detzoo that knows MMDetection. ``read_config`` reads files into dictionaries,
without executing them unless they are trusted,
``convert`` turns these into experiments: each V2 type has an adapter (in ``adapters/``, marked with
``@adapts``) that takes the keys it understands from a :class:`~detzoo.mmdet.node.Node`; facts that
V2 repeats are checked, not stored; what nobody takes is an error.
"""

from __future__ import annotations

from pathlib import Path

from detzoo.experiment import Experiment
from detzoo.mmdet.convert import experiment_of
from detzoo.mmdet.read_config import read_config

__all__ = ["experiment_of", "read_config", "read_experiment"]


def read_experiment(path: str | Path, *, trust: bool = False) -> Experiment:
    """The experiment of a V2 configuration file, which is executed only if ``trust`` is set.

    Raises :class:`ConfigError` naming the file and the place in it.
    """
    return experiment_of(read_config(path, trust=trust), str(path))
