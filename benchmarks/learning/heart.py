"""By heart: eight scenes, always the same, until they are known."""

from __future__ import annotations

import copy
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.learning.families import Case
from benchmarks.learning.narrow import changes, narrow_experiment
from benchmarks.learning.scenes import open_scenes
from benchmarks.learning.widths import build_narrow
from detzoo import zoo
from detzoo.catalog import config_classes
from detzoo.config import override
from detzoo.data.dataset import DetectionDataset
from detzoo.data.loader import build_loader
from detzoo.detectors.base import Detector
from detzoo.evaluate.coco import CocoEvaluator, Kind
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.run import evaluate
from detzoo.experiment import Experiment
from detzoo.layers.norm import set_folding
from detzoo.train.loop import train

SCENES = 8
# What is to be reached, in so many seconds of one core.
LEAST_AP50, MOST_SECONDS = 0.9, 180


def by_heart(case: Case) -> Experiment:
    """The experiment of ``case`` on scenes that are all in every step or two."""
    return _experiment(case, augment=False)


def _experiment(case: Case, *, augment: bool) -> Experiment:
    original = zoo.find(case.entry).experiment
    narrowed = narrow_experiment(original, augment=augment)
    steps_per_epoch = SCENES // case.batch
    epochs = max(case.steps // steps_per_epoch, 1)
    schedule = narrowed.schedule
    if not schedule.counts_epochs:
        raise ValueError(f"{case.entry}: counts iterations; take an entry that counts epochs")
    narrowed = dataclasses.replace(
        narrowed,
        data=dataclasses.replace(narrowed.data, images_per_device=case.batch),
        optimizer=dataclasses.replace(narrowed.optimizer, lr=case.lr or narrowed.optimizer.lr),
        max_gradient_norm=narrowed.max_gradient_norm or 10.0,
        schedule=schedule.stretched_to(epochs),
        reference_batch=case.batch,
        evaluate_every=epochs,
        checkpoint_every=epochs,
    )
    for path, value in case.settings.items():
        narrowed = override(narrowed, path, value, config_classes())
    return narrowed


def learn_by_heart(case: Case, folder: Path) -> dict[str, Any]:
    """The row of ``case``: metrics on the scenes that it trained on, time, and what was changed."""
    experiment = by_heart(case)
    data = open_scenes(folder, experiment, SCENES, seed=0)
    start, start_wall = time.process_time(), time.perf_counter()
    model = build_narrow(experiment)
    with tempfile.TemporaryDirectory() as run:
        train(experiment, model, data, None, Path(run) / "run", quiet=True, log_interval=10)
        curve = read_curve(Path(run) / "run" / "metrics.jsonl")
    seconds, wall = time.process_time() - start, time.perf_counter() - start_wall
    metrics = score(experiment, model, data)
    masks = metrics.values.get("segm/AP50")
    return {
        "name": case.name,
        "entry": case.entry,
        "head": case.head,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": experiment.schedule.length * (SCENES // case.batch),
        "batch": case.batch,
        "seconds": round(seconds, 1),
        "wall_seconds": round(wall, 1),
        "box_ap50": round(metrics["bbox/AP50"], 3),
        "mask_ap50": None if masks is None else round(masks, 3),
        "box_ap": round(metrics["bbox/AP"], 3),
        "curve": curve,
        "changes": changes(zoo.find(case.entry).experiment, experiment),
    }


def score(experiment: Experiment, model: Detector, data: DetectionDataset) -> Metrics:
    """COCO's metrics of boxes, and of masks where there are any."""
    kinds: tuple[Kind, ...] = ("bbox", "segm") if experiment.model.predicts_masks else ("bbox",)
    loader = build_loader(
        data, experiment.data.test_transforms, images_per_device=1, training=False
    )
    evaluator = CocoEvaluator(GroundTruth.of(data), experiment.class_names, kinds=kinds)
    return evaluate(unremembered(model), loader, [evaluator])


def unremembered(model: Detector) -> Detector:
    """A copy without kernels that it remembers from before its weights were changed."""
    set_folding(model, False)
    return copy.deepcopy(model)


def read_curve(log: Path) -> list[tuple[int, float]]:
    """(step, loss) of a run's ``metrics.jsonl``."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [(r["iteration"], round(r["loss"], 4)) for r in records if r["kind"] == "train"]
