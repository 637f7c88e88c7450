"""Experiments for inputs of one size."""

from __future__ import annotations

import math
from dataclasses import replace

from detzoo.data.sample import Transform
from detzoo.data.transforms.fit import FitInside
from detzoo.data.transforms.pad import Pad
from detzoo.data.transforms.resize import Resize
from detzoo.data.tta import TTA
from detzoo.errors import ConfigError
from detzoo.experiment import Experiment
from detzoo.structures.images import Size

# What the strides of nearly all detectors divide.
DIVISOR = 32


def default_size(experiment: Experiment) -> Size:
    """The input size (height, width) that suits the recipe: that of an image in landscape format,
    padded to a multiple of 32; a square where the recipe pads to one."""
    steps = experiment.data.test_transforms
    resize = next((step for step in steps if isinstance(step, Resize)), None)
    if resize is None:
        raise ConfigError(
            "--size: this model takes images as they are; say how large: --size 512 512"
        )
    long, short = max(resize.sizes[0]), min(resize.sizes[0])
    if any(isinstance(step, Pad) and step.square for step in steps):
        short = long
    if not resize.keep_ratio:
        return resize.sizes[0][1], resize.sizes[0][0]
    return math.ceil(short / DIVISOR) * DIVISOR, math.ceil(long / DIVISOR) * DIVISOR


def framed(experiment: Experiment, size: Size) -> Experiment:
    """The experiment whose images all fit into inputs of ``size`` (height, width)."""
    height, width = size
    steps: list[Transform] = []
    for step in experiment.data.test_transforms:
        if isinstance(step, Resize):
            steps.append(FitInside(sizes=((width, height),), keep_ratio=step.keep_ratio))
        elif isinstance(step, Pad):
            steps.append(Pad(size=size))
        else:
            steps.append(step)
    if not any(isinstance(step, Resize) for step in steps):
        steps.insert(0, FitInside(sizes=((width, height),)))
    data = replace(experiment.data, test_transforms=tuple(steps), tta=TTA())
    return replace(experiment, data=data)
