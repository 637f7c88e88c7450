"""Shows the progress of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from detzoo.evaluate.metrics import Metrics
from detzoo.train.callbacks.base import Callback, Record
from detzoo.train.callbacks.lines import evaluation_line, training_line

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer


class Display(Callback):
    """Prints lines, and in a terminal a progress bar with the current values below it."""

    first_process_only = True

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._numbers = Text("")
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]:.2f}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
        )
        self._task = self._bar.add_task("", epoch=0.0)
        self._live = Live(Group(self._bar, self._numbers), console=self._console)

    def on_start(self, trainer: Trainer) -> None:
        self._bar.update(self._task, total=trainer.plan.steps, completed=trainer.position.iteration)
        if self._console.is_terminal:
            self._live.start()

    def on_message(self, trainer: Trainer, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def on_step(self, trainer: Trainer) -> None:
        self._bar.update(
            self._task, completed=trainer.position.iteration, epoch=trainer.position.epoch
        )

    def on_log(self, trainer: Trainer, record: Record) -> None:
        text = training_line(record, trainer.plan.steps)
        if self._console.is_terminal:
            self._numbers.plain = text
        else:
            self.on_message(trainer, f"{record['iteration']}/{trainer.plan.steps}  {text}")

    def on_images_evaluated(self, trainer: Trainer, count: int, total: int) -> None:
        if self._console.is_terminal:
            self._numbers.plain = f"evaluating: {count} of {total} images"

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        line = evaluation_line(metrics.values, trainer.metric, trainer.position.best)
        self.on_message(trainer, line)

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        self._live.stop()
