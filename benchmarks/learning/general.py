"""In general: scenes that are mirrored at random, until others that were held out are found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from benchmarks.learning.families import MASKS_ALONE, SLOW, Case
from benchmarks.learning.learn import learn, narrowed
from benchmarks.learning.scenes import open_scenes
from detzoo.evaluate.metrics import Metrics
from detzoo.experiment import Experiment
from detzoo.optim.optimizers import AdamWConfig
from detzoo.optim.schedules import Schedule, Step, Warmup
from detzoo.train.callbacks import Callback
from detzoo.train.trainer import Trainer

SCENES, HELD_OUT = 1600, 60
LEAST_AP50 = 0.5
MOST_STEPS, EVALUATE_EVERY = 2000, 250
# From random weights, the recipes' rates for pretrained backbones take several times the steps:
# FCOS with its own SGD has .37 after 1500, and .52 after 1000 so.
OPTIMIZER = AdamWConfig(lr=1e-3, weight_decay=1e-4)
SCHEDULE = Schedule(
    length=MOST_STEPS,
    unit="iterations",
    policy=Step(milestones=(MOST_STEPS * 2 // 3, MOST_STEPS * 11 // 12)),
    warmup=Warmup(iterations=100),
)


class StopAtBar(Callback):
    """Ends a run at the first evaluation that reaches the bar."""

    def __init__(self, head: str) -> None:
        self._head = head

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        boxes, masks = metrics.values["bbox/AP50"], metrics.values.get("segm/AP50")
        if _reaches_bar(self._head, boxes, masks):
            trainer.stop()


def in_general(case: Case) -> Experiment:
    """The experiment of ``case``: its model and losses, on scenes that are mirrored at random."""
    experiment = narrowed(case, scenes=SCENES, steps=MOST_STEPS, batch=case.batch, augment=True)
    return dataclasses.replace(
        experiment,
        optimizer=OPTIMIZER,
        schedule=SCHEDULE,
        final=None,
        evaluate_every=EVALUATE_EVERY,
        checkpoint_every=MOST_STEPS,
    )


def learn_in_general(case: Case, folder: Path) -> dict[str, Any]:
    """Metrics on scenes that were held out, time, and the loss on the way."""
    experiment = in_general(case)
    train_data = open_scenes(folder, experiment, SCENES, seed=1)
    test_data = open_scenes(folder, experiment, HELD_OUT, seed=2)
    outcome = learn(experiment, train_data, test_data, StopAtBar(case.head))
    return {
        "steps": outcome.steps,
        "batch": case.batch,
        "seconds": outcome.seconds,
        "box_ap50": outcome.box_ap50,
        "mask_ap50": outcome.mask_ap50,
        "curve": outcome.curve,
    }


def is_learned(row: dict[str, Any]) -> bool:
    """Whether the held-out scenes are found well enough, or the head is a slow one."""
    result = row["general"]
    return row["head"] in SLOW or _reaches_bar(row["head"], result["box_ap50"], result["mask_ap50"])


def _reaches_bar(head: str, box_ap50: float, mask_ap50: float | None) -> bool:
    counted = [ap for ap in (box_ap50, mask_ap50) if ap is not None]
    return min(counted[1:] if head in MASKS_ALONE else counted) >= LEAST_AP50
