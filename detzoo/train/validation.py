"""The evaluations of a run: the same images and metrics each time, and which was best."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detzoo.config import ConfigError
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import build_loader
from detzoo.detectors.base import Detector
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.run import default_evaluators, detect, score
from detzoo.experiment import Experiment
from detzoo.train.distributed import Processes
from detzoo.train.state import Position


@dataclass(frozen=True)
class EarlyStopping:
    """Ends training after ``patience`` evaluations without a better ``metric`` (such as bbox/AP50).

    ``metric`` None watches the main one. ``best.pt`` follows the same metric.
    """

    metric: str | None = None
    patience: int = 3


class Validation:
    """Scores a model on ``data`` and remembers what was best.

    Raises :class:`ConfigError` when early stopping watches a metric that is not there.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: DetectionDataset,
        processes: Processes,
        early_stopping: EarlyStopping | None,
        fused: bool = True,
    ) -> None:
        experiment.check_needs(data, training=False)
        data = data.with_channels(experiment.model.input_pixels.channels)
        self._early_stopping = early_stopping
        self._precision = experiment.precision
        self._fused = fused
        self._views = [
            build_loader(
                data,
                transforms,
                images_per_device=1,
                workers=experiment.data.workers,
                seed=experiment.seed,
                training=False,
                rank=processes.rank,
                world_size=processes.count,
                max_proposals=experiment.data.test_proposals,
            )
            for transforms in experiment.data.tta.pipelines(experiment.data.test_transforms)
        ]
        self._evaluators = default_evaluators(
            GroundTruth.of(data),
            experiment.class_names,
            predicts_masks=experiment.model.predicts_masks,
            is_class_agnostic=experiment.model.is_class_agnostic,
            metric=experiment.data.metric,
        )
        names = score(self._evaluators, [])
        wanted = early_stopping.metric if early_stopping else None
        self.metric = wanted or names.main_name
        if self.metric not in names.values:
            raise ConfigError(
                f"early_stopping.metric: no metric is called {self.metric!r} here; "
                f"there are {', '.join(names.values)}"
            )

    def run(self, model: Detector) -> Metrics:
        """The metrics of the model as it is now; every process gets those of all the data."""
        found = detect(model, *self._views, precision=self._precision, fused=self._fused)
        return score(self._evaluators, found)

    def note(self, metrics: Metrics, position: Position) -> bool:
        """Notes in ``position`` how good the evaluation was; whether it was the best so far."""
        best = _or_worst(position.best.get(self.metric, math.nan))
        if position.best and _or_worst(metrics[self.metric]) <= best:
            position.stale_evaluations += 1
            return False
        position.best = dict(metrics.values)
        position.stale_evaluations = 0
        return True

    def is_exhausted(self, position: Position) -> bool:
        """Whether training is to end because nothing gets better any more."""
        if self._early_stopping is None:
            return False
        return position.stale_evaluations >= self._early_stopping.patience


def _or_worst(value: float) -> float:
    return -math.inf if math.isnan(value) else value
