"""The checkpoints of a run, and the configuration that they are of."""

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
    """Writes ``experiment.json`` in the beginning, ``last.pt``, to go on from, when it is due, and
    ``best.pt``, to detect with, after each evaluation that is the best so far."""

    first_process_only = True

    def on_start(self, trainer: Trainer) -> None:
        write_json(trainer.run_dir / "experiment.json", to_dict(trainer.experiment))
        if not trainer.resumed:  # a kill at any moment can be resumed
            self.on_save(trainer)

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        if is_best:
            file = trainer.run_dir / "best.pt"
            save_best(file, trainer.experiment, trainer.learner, trainer.division)

    def on_save(self, trainer: Trainer) -> None:
        save_last(
            trainer.run_dir / "last.pt",
            trainer.experiment,
            trainer.learner,
            trainer.position,
            trainer.division,
        )
