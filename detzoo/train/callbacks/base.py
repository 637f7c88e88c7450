"""What a callback is: code of somebody else at the moments of a training run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.structures import ImageBatch, Targets

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer

# Named values at one moment, as metrics files hold them.
Record = Mapping[str, float | int | str | None]


class Callback:
    """Acts at the moments of a run; override those that you need.

    Each gets the :class:`~detzoo.train.trainer.Trainer`, which has the run's ``experiment``,
    ``model``, ``optimizer``, ``position`` (``position.iteration`` steps are done), ``run_dir`` and
    ``processes``, and takes requests: ``log`` values, ``say`` a line, ``stop``. Callbacks are
    called in their order, detzoo's own first. With several processes each has its own; whatever
    is logged, and whether to stop, must be the same in all of them.
    """

    # Whether of several processes only the first one has it: for what writes files.
    first_process_only: ClassVar[bool] = False

    def evaluators(
        self, ground_truth: GroundTruth, class_names: Sequence[str]
    ) -> Sequence[Evaluator]:
        """Metrics of your own on the validation data, in addition to those of the experiment."""
        return ()

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step; a resumed run is where it was already."""

    def on_losses(
        self, trainer: Trainer, images: ImageBatch, targets: Sequence[Targets]
    ) -> Mapping[str, Tensor]:
        """Further losses (scalars by name) of a batch that the model has just seen.

        :class:`~detzoo.structures.Losses`, or a plain dict whose names with ``loss`` are minimized.
        """
        return {}

    def on_backward(self, trainer: Trainer) -> None:
        """The gradients of a step are there, unscaled and not clipped yet."""

    def on_step(self, trainer: Trainer) -> None:
        """A step is done: weights and ``position`` are the new ones."""

    def on_log(self, trainer: Trainer, record: Record) -> None:
        """Averages since the last record: losses, what was logged, learning rate, times."""

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        """The model was evaluated; it has the weights that were (the averaged ones, with an EMA).

        ``is_best`` says whether the watched metric (``trainer.metric``) is better than ever.
        """

    def on_save(self, trainer: Trainer) -> None:
        """A checkpoint is due; ``last.pt`` is written by the first of all callbacks."""

    def on_message(self, trainer: Trainer, text: str) -> None:
        """A line for people."""

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """The run is over, done or stopped, or fails with ``error``."""


class RecordWriter(Callback, ABC):
    """Base of callbacks that keep the numbers of a run somewhere: they need only :meth:`write`."""

    first_process_only = True

    @abstractmethod
    def write(self, record: Record) -> None:
        """Keeps one record; its ``kind`` is train or val, its ``iteration`` the steps done."""

    def on_log(self, trainer: Trainer, record: Record) -> None:
        self.write(record)

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        self.write({"kind": "val", "iteration": trainer.position.iteration, **metrics.values})
