"""One image with its ground truth on the way through the transforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from detzoo.config import config
from detzoo.errors import DataError, UserError
from detzoo.structures import ImageInfo, Targets


@dataclass(frozen=True)
class Sample:
    """``image`` (H, W, 3) BGR, uint8 (float32 after photometric transforms), with its targets.

    Images of another number of channels have one there; OpenCV's functions drop it if it is one.
    """

    image: np.ndarray
    targets: Targets
    info: ImageInfo


# Another sample of the data set, as it is before all transforms.
Draw = Callable[[np.random.Generator], Sample]


class SkipSample(Exception):
    """Raised by a transform that cannot make anything of a sample: training takes another image."""


@config
class Transform(ABC):
    """A step between file and batch: a value whose configuration is itself.

    A transform keeps image, targets and info consistent. All randomness comes from ``rng``.
    """

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...

    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample:
        """The same, for transforms that look at other samples too: see :class:`MixTransform`."""
        return self(sample, rng)


@config
class MixTransform(Transform):
    """A transform that makes one sample of several, drawing the others from the data set."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Where there is no data set, the image is mixed with itself."""
        return self.mix(sample, rng, lambda _: sample)

    @abstractmethod
    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample: ...


def apply(
    transforms: Sequence[Transform],
    sample: Sample,
    rng: np.random.Generator,
    draw: Draw | None = None,
) -> Sample:
    """The sample after all ``transforms``, in order; ``draw`` gives them others of its data set.

    Where there is no data set, the sample is all there is to draw. Raises :class:`DataError`,
    naming the image and the transform, where one cannot do it.
    """
    original = sample

    def draw_original(_: np.random.Generator) -> Sample:
        return original

    for transform in transforms:
        try:
            sample = transform.mix(sample, rng, draw or draw_original)
        except UserError:
            raise
        except (ValueError, RuntimeError, cv2.error) as error:
            (height, width), reason = sample.image.shape[:2], str(error).strip(" .")
            raise DataError(
                f"{sample.info.path or 'an image'}: {transform!r} cannot do it, as it comes at "
                f"{width} x {height} pixels (width x height): {reason}. Change that transform, or "
                "leave the image out."
            ) from error
        if sample.image.ndim == 2:
            sample = replace(sample, image=sample.image[..., None])
    return sample
