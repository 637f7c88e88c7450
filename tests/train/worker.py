"""One training process: ``python -m tests.train.worker KIND DATA RUN [--resume]``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

from detzoo.data.coco import read_coco
from detzoo.detectors.base import DetectorConfig
from detzoo.experiment import Experiment
from detzoo.layers.norm import BatchNormConfig
from detzoo.optim.schedules import epochs
from detzoo.train.loop import train
from tests.train.tiny import BACKBONE, build, tiny_experiment, tiny_two_stage


def experiment_of(kind: str) -> Experiment:
    """``two_stage``: all that has state. Others: for two processes, with one image each."""
    if kind == "two_stage":
        experiment = tiny_experiment(
            model=tiny_two_stage(), schedule=epochs(6, milestones=(4,)), accumulate=3
        )
        return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, workers=1))
    norm = BatchNormConfig(fixed_statistics=True, trainable=False)
    backbone = dataclasses.replace(BACKBONE, norm=norm)
    model: DetectorConfig = tiny_experiment().model
    if kind == "mask_rcnn":
        model = tiny_two_stage(masks=True)
    model = dataclasses.replace(model, backbone=backbone)
    experiment = tiny_experiment(model=model, max_gradient_norm=None, ema=None)
    data = dataclasses.replace(experiment.data, masks="bitmap" if model.predicts_masks else "none")
    return images_per_step(dataclasses.replace(experiment, data=data), 1)


def images_per_step(experiment: Experiment, images: int) -> Experiment:
    """The same with another batch per process."""
    return dataclasses.replace(
        experiment, data=dataclasses.replace(experiment.data, images_per_device=images)
    )


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
