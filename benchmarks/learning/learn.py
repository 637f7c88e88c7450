"""One case: its experiment, trained by detzoo's own loop, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.learning.families import Case
from benchmarks.learning.narrow import narrow_experiment
from benchmarks.learning.widths import build_narrow
from detzoo import zoo
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import override
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import build_loader
from detzoo.detectors.base import Detector
from detzoo.evaluate.coco import CocoEvaluator, Kind
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.run import evaluate
from detzoo.experiment import Experiment
from detzoo.train.callbacks import Callback
from detzoo.train.loop import train

Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class Outcome:
    """``seconds`` are those of the processor, for training alone; ``curve`` is step and loss."""

    experiment: Experiment
    parameters: int
    steps: int
    seconds: float
    wall_seconds: float
    curve: Curve
    metrics: Metrics

    @property
    def box_ap50(self) -> float:
        return round(self.metrics["bbox/AP50"], 3)

    @property
    def mask_ap50(self) -> float | None:
        value = self.metrics.values.get("segm/AP50")
        return None if value is None else round(value, 3)


def narrowed(case: Case, *, scenes: int, steps: int, batch: int, augment: bool) -> Experiment:
    """The narrow experiment of ``case`` for about ``steps`` on so many ``scenes``.

    The course of the learning rate is the recipe's own over another length.
    """
    experiment = narrow_experiment(zoo.find(case.entry).experiment, augment=augment)
    epochs = max(round(steps * batch / scenes), 1)
    experiment = experiment.stretched_to(epochs)
    experiment = dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, images_per_device=batch),
        optimizer=dataclasses.replace(experiment.optimizer, lr=case.lr or experiment.optimizer.lr),
        max_gradient_norm=experiment.max_gradient_norm or 10.0,
        reference_batch=batch,
        evaluate_every=epochs,
        checkpoint_every=epochs,
    )
    if experiment.final is not None:
        final = dataclasses.replace(experiment.final, evaluate_every=epochs)
        experiment = dataclasses.replace(experiment, final=final)
    for path, value in case.settings.items():
        experiment = override(experiment, path, value, config_classes())
    return experiment


def learn(
    experiment: Experiment,
    train_data: DetectionDataset,
    test_data: DetectionDataset,
    watch: Callback | None = None,
) -> Outcome:
    """Trains from scratch on the one, scores on the other.

    ``watch`` is told of evaluations on the way; without it there are none. A signal that stops the
    training stops the program: what has not been learned to the end is no result.
    """
    processor, wall = time.process_time(), time.perf_counter()
    model = build_narrow(experiment)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = train(
            experiment,
            model,
            train_data,
            None if watch is None else test_data,
            run,
            callbacks=[] if watch is None else [watch],
            quiet=True,
            log_interval=10,
        )
        curve = read_curve(run / "metrics.jsonl")
    if result.stop_signal is not None:
        raise SystemExit(128 + result.stop_signal)
    return Outcome(
        experiment,
        sum(parameter.numel() for parameter in model.parameters()),
        result.iterations,
        round(time.process_time() - processor, 1),
        round(time.perf_counter() - wall, 1),
        curve,
        score(experiment, model, test_data),
    )


def score(experiment: Experiment, model: Detector, data: DetectionDataset) -> Metrics:
    """COCO's metrics of boxes, and of masks where there are any."""
    kinds: tuple[Kind, ...] = ("bbox", "segm") if experiment.model.predicts_masks else ("bbox",)
    transforms = experiment.data.test_transforms
    loader = build_loader(data, transforms, images_per_device=1, training=False)
    evaluator = CocoEvaluator(GroundTruth.of(data), experiment.class_names, kinds=kinds)
    return evaluate(model, loader, [evaluator])


def read_curve(log: Path) -> Curve:
    """(step, loss) of a run's ``metrics.jsonl``."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [(r["iteration"], round(r["loss"], 4)) for r in records if r["kind"] == "train"]
