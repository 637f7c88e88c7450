"""Logs runs to MLflow (https://mlflow.org)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from detzoo.config import to_dict
from detzoo.train.callbacks.base import Record, RecordWriter
from detzoo.train.callbacks.extras import refusals_of, require, scalars

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer


class MLflowLogger(RecordWriter):
    """Sends records and the configuration to MLflow; a resumed run continues the same MLflow run.

    MLflow's environment variables apply: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME (default:
    detzoo).
    """

    def __init__(self) -> None:
        self._mlflow = require("mlflow")

    def on_start(self, trainer: Trainer) -> None:
        kept = trainer.run_dir / "mlflow_id.txt"
        known = kept.read_text().strip() if trainer.resumed and kept.is_file() else None
        with refusals_of("mlflow", self._mlflow.MlflowException):
            self._mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "detzoo"))
            # An already active run becomes the parent of this one.
            self._run = self._mlflow.start_run(known, run_name=trainer.run_dir.name, nested=True)
            self._mlflow.log_dict(to_dict(trainer.experiment), "experiment.json")
        kept.write_text(self._run.info.run_id)

    def write(self, record: Record) -> None:
        with refusals_of("mlflow", self._mlflow.MlflowException):
            self._mlflow.log_metrics(
                scalars(record), step=record["iteration"], run_id=self._run.info.run_id
            )

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        self._mlflow.end_run("FINISHED" if error is None else "FAILED")
