"""One image with its ground truth on the way through the transforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detzoo.config import config
from detzoo.structures import ImageInfo, Targets


@dataclass(frozen=True)
class Sample:
    """``image`` (H, W, 3) BGR, uint8 (float32 after photometric transforms), with its targets."""

    image: np.ndarray
    targets: Targets
    info: ImageInfo


class SkipSample(Exception):
    """Raised by a transform that cannot make anything of a sample: training takes another image."""


@config
class Transform(ABC):
    """A step between file and batch: a value whose configuration is itself.

    A transform keeps image, targets and info consistent. All randomness comes from ``rng``.
    """

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


def apply(transforms: Sequence[Transform], sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample after all ``transforms``, in order."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample
