"""Logs runs to TensorBoard (https://www.tensorflow.org/tensorboard)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detzoo.train.callbacks.base import Record, RecordWriter
from detzoo.train.callbacks.extras import scalars

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer


class TensorBoard(RecordWriter):
    """Writes events to the folder ``tensorboard`` of the run, if TensorBoard is installed."""

    def on_start(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = trainer.run_dir / "tensorboard"
        self._board = SummaryWriter(str(folder), purge_step=trainer.position.iteration + 1)

    def write(self, record: Record) -> None:
        for name, value in scalars(record).items():
            self._board.add_scalar(name, value, record["iteration"])

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        self._board.close()
