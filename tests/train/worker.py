"""One training process: ``python -m tests.train.worker KIND DATA RUN [--resume]``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

from detzoo.data.coco import read_coco
from detzoo.experiment import Experiment
from detzoo.layers.norm import BatchNorm
from detzoo.optim.schedules import epochs
from detzoo.train.loop import train
from tests.train.tiny import BACKBONE, build, tiny_experiment, tiny_two_stage


def experiment_of(kind: str) -> Experiment:
    if kind == "two_stage":
        experiment = tiny_experiment(model=tiny_two_stage(), schedule=epochs(6, milestones=(4,)))
        return dataclasses.replace(
            experiment, data=dataclasses.replace(experiment.data, workers=1), accumulate=3
        )
    if kind == "distributed":
        return tiny_experiment(
            model=dataclasses.replace(
                tiny_experiment().model,
                backbone=dataclasses.replace(BACKBONE, norm=BatchNorm(fixed_statistics=True)),
            ),
            data=dataclasses.replace(tiny_experiment().data, images_per_device=1),
            max_gradient_norm=None,
        )
    raise ValueError(kind)


def main(kind: str, data: Path, run_dir: Path, *, resume: bool) -> None:
    torch.set_num_threads(1)
    images = read_coco(data / "annotations.json", data)
    experiment = experiment_of(kind)
    train(
        experiment,
        build(experiment),
        images,
        images,
        run_dir,
        resume=resume,
        checkpoint_steps=2,
        log_interval=1,
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), resume="--resume" in sys.argv)
