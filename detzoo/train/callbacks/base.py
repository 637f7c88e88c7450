"""The base classes of callbacks, which are called at the events of a training run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult
from detzoo.structures import ImageBatch, Targets

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer

# Named values at one point of training, as in metrics files.
Record = Mapping[str, float | int | str | None]


class Callback:
    """Base class of callbacks; override the methods of the events that you need.

    Each method receives the :class:`~detzoo.train.trainer.Trainer`, which has the run's
    ``experiment``, ``model``, ``optimizer``, ``position`` (``position.iteration`` steps are done),
    ``run_dir`` and ``processes``, and the methods ``log`` (values), ``say`` (a line) and ``stop``.
    Callbacks are called in order, detzoo's own first. With several processes, each has its own
    callbacks; they must log the same names and call ``stop`` in all processes.
    """

    # Whether only the main process runs this callback, as for those that write files.
    first_process_only: ClassVar[bool] = False

    def evaluators(
        self, ground_truth: GroundTruth, class_names: Sequence[str]
    ) -> Sequence[Evaluator]:
        """Returns additional evaluators for the validation data."""
        return ()

    def on_start(self, trainer: Trainer) -> None:
        """Called before the first step; if the run is resumed, after its state was restored."""

    def on_losses(
        self, trainer: Trainer, images: ImageBatch, targets: Sequence[Targets]
    ) -> Mapping[str, Tensor]:
        """Returns additional losses (scalars by name), after the forward pass of a batch.

        :class:`~detzoo.structures.Losses`, or a plain dict, of which values with ``loss`` in their
        name are minimized.
        """
        return {}

    def on_backward(self, trainer: Trainer) -> None:
        """Called after the backward pass, with gradients unscaled but not yet clipped."""

    def on_step(self, trainer: Trainer) -> None:
        """Called after a step, with updated weights and ``position``."""

    def on_log(self, trainer: Trainer, record: Record) -> None:
        """Called with averages since the last record: losses, logged values, learning rate, ..."""

    def on_images_evaluated(self, trainer: Trainer, count: int, total: int) -> None:
        """Called during an evaluation: this process has done ``count`` of its ``total`` images."""

    def on_detections(self, trainer: Trainer, results: Sequence[ImageResult]) -> None:
        """What an evaluation has detected in all images, in their own pixels; the metrics follow in
        :meth:`on_evaluation`."""

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        """Called after an evaluation; the model has the evaluated weights (averaged, with an EMA).

        ``is_best`` is true if the monitored metric (``trainer.metric``) is the best so far.
        """

    def on_save(self, trainer: Trainer) -> None:
        """Called when a checkpoint is due; ``last.pt`` has already been written."""

    def on_message(self, trainer: Trainer, text: str) -> None:
        """Called with a message for the user."""

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """Called when the run has finished, was stopped, or failed with ``error``."""


class RecordWriter(Callback, ABC):
    """Base class of callbacks that store the values of a run; implement :meth:`write`."""

    first_process_only = True

    @abstractmethod
    def write(self, record: Record) -> None:
        """Stores a record; its ``kind`` is train or val, its ``iteration`` the number of steps
        done.
        """

    def on_log(self, trainer: Trainer, record: Record) -> None:
        self.write(record)

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        self.write({"kind": "val", "iteration": trainer.position.iteration, **metrics.values})
