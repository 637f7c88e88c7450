"""In general: scenes that are mirrored at random, and others that were held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.learning.families import SLOW, Case
from benchmarks.learning.learn import learn, narrowed
from benchmarks.learning.scenes import open_scenes
from detzoo.experiment import Experiment

SCENES, HELD_OUT = 400, 60
LEAST_AP50 = 0.5


def in_general(case: Case) -> Experiment:
    """The experiment of ``case``: scenes are mirrored at random."""
    steps = case.general_steps
    return narrowed(case, scenes=SCENES, steps=steps, batch=case.batch, augment=True)


def learn_in_general(case: Case, folder: Path) -> dict[str, Any]:
    """Metrics on scenes that were held out, time, and the loss on the way."""
    experiment = in_general(case)
    train_data = open_scenes(folder, experiment, SCENES, seed=1)
    test_data = open_scenes(folder, experiment, HELD_OUT, seed=2)
    outcome = learn(experiment, train_data, test_data)
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
    aps = [ap for ap in (result["box_ap50"], result["mask_ap50"]) if ap is not None]
    return row["head"] in SLOW or min(aps) >= LEAST_AP50
