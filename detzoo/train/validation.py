"""Validation during a run, and early stopping."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detzoo.config import ConfigError
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import build_loader
from detzoo.detectors.base import Detector
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult
from detzoo.evaluate.run import default_evaluators, detect, score
from detzoo.experiment import Experiment
from detzoo.train.callbacks.base import Callback
from detzoo.train.distributed import Processes
from detzoo.train.watch import Interrupt

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer


@dataclass(frozen=True)
class EarlyStopping(Callback):
    """Ends training after ``patience`` evaluations without a better ``metric`` (such as bbox/AP50).

    ``metric`` None monitors the main one. ``best.pt`` is chosen by the same metric.
    """

    metric: str | None = None
    patience: int = 3

    def on_start(self, trainer: Trainer) -> None:
        if (
            trainer.position.stale_evaluations >= self.patience
        ):  # a resumed run that had already stopped early
            trainer.stop()

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        if trainer.position.stale_evaluations >= self.patience:
            trainer.say(f"stopping early: {trainer.metric} is no longer improving")
            trainer.stop()


def make_evaluators(
    experiment: Experiment, data: DetectionDataset, callbacks: Sequence[Callback] = ()
) -> tuple[list[Evaluator], Metrics]:
    """The evaluators of a run on validation ``data``, and their metrics of no detections at all,
    which are 0 if there are objects, and undefined otherwise.
    """
    truth = GroundTruth.of(data)
    evaluators = default_evaluators(
        truth,
        experiment.class_names,
        predicts_masks=experiment.model.predicts_masks,
        is_class_agnostic=experiment.model.is_class_agnostic,
        metric=experiment.data.metric,
        stuff_names=experiment.panoptic_stuff,
    )
    for callback in callbacks:
        evaluators += callback.evaluators(truth, experiment.class_names)
    return evaluators, score(evaluators, [])


def find_metric(name: str | None, of_nothing: Metrics, option: str) -> str:
    """The metric called ``name``, None: the main one, of those of an evaluation.

    Raises :class:`ConfigError`, naming the ``option`` that it was given as, for an unknown one.
    """
    name = name or of_nothing.main_name
    if name not in of_nothing.values:
        raise ConfigError(
            f"{option}: no metric is called {name!r} here; there are {', '.join(of_nothing.values)}"
        )
    return name


class Validation:
    """Scores a model on ``data``, ``batch_size`` images of one size at a time.

    ``metric`` is the monitored one, which determines the best evaluation; None: the main one.
    Raises :class:`ConfigError` for an unknown metric.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: DetectionDataset,
        processes: Processes,
        metric: str | None,
        callbacks: Sequence[Callback] = (),
        fused: bool = True,
        batch_size: int = 1,
    ) -> None:
        experiment.check_needs(data, training=False)
        data = data.with_channels(experiment.model.input_pixels.channels)
        self._processes = processes
        self._source = data.source
        self._images = math.ceil(len(data) / processes.count)
        self._precision = experiment.precision
        self._fused = fused
        self._views = [
            build_loader(
                data,
                transforms,
                images_per_device=batch_size,
                workers=experiment.data.workers,
                seed=experiment.seed,
                training=False,
                rank=processes.rank,
                world_size=processes.count,
                max_proposals=experiment.data.test_proposals,
            )
            for transforms in experiment.data.tta.pipelines(experiment.data.test_transforms)
        ]
        self._evaluators, of_nothing = make_evaluators(experiment, data, callbacks)
        self.metric = find_metric(metric, of_nothing, "early_stopping.metric")
        self.is_undefined = math.isnan(of_nothing[self.metric])

    def require_defined_metric(self) -> None:
        """Raises :class:`ConfigError` if the metric is undefined on this data."""
        if self.is_undefined:
            raise ConfigError(
                f"early_stopping: {self.metric} is undefined on {self._source}, which contains no "
                "objects. Give other validation data (--val)."
            )

    def run(
        self,
        model: Detector,
        interrupt: Interrupt,
        progress: Callable[[int, int], None] = lambda count, total: None,
        most: int | None = None,
    ) -> tuple[Metrics, list[ImageResult]] | None:
        """The metrics and detections of the model as it is now; every process gets those of all
        the data. ``progress`` is called with the number of this process's images done, and of all.

        Each process detects in at most ``most`` batches. Returns None if a signal to any process
        interrupted it.
        """
        views = [
            itertools.takewhile(lambda _: not interrupt.requested, itertools.islice(v, most))
            for v in self._views
        ]
        done = 0

        def count(images: int) -> None:
            nonlocal done
            done = min(done + images, self._images)  # the last batches may be another process's
            progress(done, self._images)

        found = detect(
            model,
            *views,
            precision=self._precision,
            fused=self._fused,
            progress=count,
        )
        if interrupt.of_any(self._processes):
            return None
        return score(self._evaluators, found), found
