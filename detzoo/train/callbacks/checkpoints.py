"""Writes the checkpoints and the configuration of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detzoo.config import to_dict
from detzoo.evaluate.metrics import Metrics
from detzoo.train.callbacks.base import Callback
from detzoo.train.callbacks.files import write_json
from detzoo.train.state import save_best, save_last

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer


class Checkpoints(Callback):
    """Writes ``last.pt`` (for resuming) when it is due, with ``experiment.json``, to which a search
    for receptive fields adds, and ``best.pt`` (for inference) after each evaluation that is the
    best so far.
    """

    first_process_only = True

    def on_start(self, trainer: Trainer) -> None:
        _write_experiment(trainer)
        if not trainer.resumed:  # so that a run killed at any time can be resumed
            self.on_save(trainer)

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        if is_best:
            file = trainer.run_dir / "best.pt"
            save_best(file, trainer.experiment, trainer.learner, trainer.division)

    def on_save(self, trainer: Trainer) -> None:
        _write_experiment(trainer)
        save_last(
            trainer.run_dir / "last.pt",
            trainer.experiment,
            trainer.learner,
            trainer.position,
            trainer.division,
        )


def _write_experiment(trainer: Trainer) -> None:
    write_json(trainer.run_dir / "experiment.json", to_dict(trainer.experiment))
