"""Experiments for inputs of one size."""

from __future__ import annotations

import math
from dataclasses import replace

from detzoo.data.sample import Transform
from detzoo.data.transforms.center_crop_pad import CenterPad
from detzoo.data.transforms.fit import FitInside
from detzoo.data.transforms.pad import Pad
from detzoo.data.transforms.resize import Resize
from detzoo.data.tta import TTA
from detzoo.detectors.base import Detector
from detzoo.errors import ConfigError
from detzoo.experiment import Experiment
from detzoo.inference.exported import DIVISOR
from detzoo.structures.images import Size

# The smallest side of inputs of files for a range of sizes: the coarsest level must have two cells.
SMALLEST = 256


def has_size(experiment: Experiment) -> bool:
    """Whether the recipe says how large inputs are."""
    return any(isinstance(step, Resize) for step in experiment.data.test_transforms)


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


def largest_size(experiment: Experiment) -> Size:
    """The square that images of either orientation fit into, resized as the recipe says."""
    side = max(default_size(experiment))
    return side, side


def smallest_size(size: Size) -> Size:
    """Of a file for a range of sizes up to ``size`` (height, width).

    Raises :class:`ConfigError` for a ``size`` that is none larger, or not in steps of 32.
    """
    if min(size) <= SMALLEST or size[0] % DIVISOR or size[1] % DIVISOR:
        raise ConfigError(
            f"--dynamic: takes sizes from {SMALLEST} x {SMALLEST} in steps of {DIVISOR}; give a "
            f"larger multiple of {DIVISOR} than --size {size[0]} {size[1]}"
        )
    return SMALLEST, SMALLEST


def framed(experiment: Experiment, size: Size, *, is_largest: bool = False) -> Experiment:
    """The experiment whose images all fit into inputs of ``size`` (height, width).

    Where that ``is_largest``, and inputs may be smaller, the recipe's own sizes stay if they fit.
    """
    given = experiment.data.test_transforms
    shown = size  # what is left of it for the image, where that is padded on all sides
    for step in given:
        if isinstance(step, CenterPad):
            shown = step.largest_inside(shown)
    frame = FitInside(sizes=(shown[::-1],))
    pad = Pad(divisor=DIVISOR) if is_largest else Pad(size=size)
    steps: list[Transform] = []
    for step in given:
        if isinstance(step, Resize):
            own = step.sizes[0]
            fits = is_largest and max(own) <= min(shown) and min(own) >= SMALLEST
            kept = replace(frame, keep_ratio=step.keep_ratio, library=step.library)
            steps.append(step if fits else kept)
        else:
            steps.append(pad if isinstance(step, Pad) else step)
    if not any(isinstance(step, Resize) for step in steps):
        steps.insert(0, frame)
    if not any(isinstance(step, Pad) for step in steps):
        steps.append(pad)
    data = replace(experiment.data, test_transforms=tuple(steps), tta=TTA())
    return replace(experiment, data=data)


def check_size(model: Detector, experiment: Experiment, size: Size, option: str) -> None:
    """Raises :class:`ConfigError` for a size that the detector cannot have: the recipe's own, or
    multiples of its coarsest stride."""
    steps = experiment.data.test_transforms
    pads = [step.divisor for step in steps if isinstance(step, Pad) and step.size is None]
    pads += [step.bits + 1 for step in steps if isinstance(step, CenterPad)]
    divisor = max(model.backbone.out_strides[-1], *pads, 1)
    whole = tuple(math.ceil(side / divisor) * divisor for side in size)
    if whole != size and not (has_size(experiment) and default_size(experiment) == size):
        raise ConfigError(
            f"{option} {size[0]} {size[1]}: this detector needs multiples of {divisor}; give "
            f"{whole[0]} {whole[1]}"
        )
