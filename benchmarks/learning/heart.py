"""By heart: eight scenes, always the same, until they are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.learning.families import Case
from benchmarks.learning.learn import learn, narrowed
from benchmarks.learning.narrow import changes
from benchmarks.learning.scenes import open_scenes
from detzoo import zoo
from detzoo.experiment import Experiment

SCENES = 8
# What is to be reached, in so many seconds of one core.
LEAST_AP50, MOST_SECONDS = 0.9, 180


def by_heart(case: Case) -> Experiment:
    """The experiment of ``case``: nothing about the scenes is random but their order."""
    return narrowed(case, scenes=SCENES, steps=case.steps, batch=case.batch, augment=False)


def learn_by_heart(case: Case, folder: Path) -> dict[str, Any]:
    """Metrics on the scenes that it trained on, time, and what was changed of the recipe."""
    experiment = by_heart(case)
    data = open_scenes(folder, experiment, SCENES, seed=0)
    outcome = learn(experiment, data, data)
    return {
        "parameters": outcome.parameters,
        "steps": outcome.steps,
        "batch": case.batch,
        "seconds": outcome.seconds,
        "wall_seconds": outcome.wall_seconds,
        "box_ap50": outcome.box_ap50,
        "mask_ap50": outcome.mask_ap50,
        "curve": outcome.curve,
        "changes": changes(zoo.find(case.entry).experiment, experiment),
    }


def is_known(row: dict[str, Any], most_seconds: float = MOST_SECONDS) -> bool:
    """Whether the scenes were learned by heart, in time."""
    result = row["heart"]
    aps = [ap for ap in (result["box_ap50"], result["mask_ap50"]) if ap is not None]
    return min(aps) > LEAST_AP50 and result["seconds"] <= most_seconds
