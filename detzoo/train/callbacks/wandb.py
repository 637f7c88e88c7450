"""Logs runs to Weights & Biases (https://docs.wandb.ai)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from detzoo.config import to_dict
from detzoo.train.callbacks.base import Record, RecordWriter
from detzoo.train.callbacks.extras import refusals_of, require, scalars

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer


class WandbLogger(RecordWriter):
    """Sends records and the configuration to W&B; a resumed run continues the same W&B run.

    W&B's environment variables apply: WANDB_PROJECT (default: detzoo), WANDB_MODE=offline, and so
    on.
    """

    def __init__(self) -> None:
        self._wandb = require("wandb")

    def on_start(self, trainer: Trainer) -> None:
        kept = trainer.run_dir / "wandb_id.txt"
        known = kept.read_text().strip() if trainer.resumed and kept.is_file() else None
        with refusals_of("wandb", self._wandb.Error):
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", "detzoo"),
                name=trainer.run_dir.name,
                dir=str(trainer.run_dir),
                config=to_dict(trainer.experiment),
                id=known,
                resume="allow",
            )
        kept.write_text(self._run.id)

    def write(self, record: Record) -> None:
        self._run.log({**scalars(record), "iteration": record["iteration"]})

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        self._run.finish(exit_code=0 if error is None else 1)
