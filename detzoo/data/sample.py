"""Samples and transforms: one image with its ground truth on the way to a batch."""

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
    """An ``image`` (H, W, C), BGR uint8 or (after photometric transforms) float32, with targets."""

    image: np.ndarray
    targets: Targets
    info: ImageInfo


# Draws another sample of the data set, before any transform.
Draw = Callable[[np.random.Generator], Sample]


class SkipSample(Exception):
    """Raised by a transform that rejects a sample: training uses another image instead."""


@config
class Transform(ABC):
    """Base class of transforms, which are their own configuration.

    A transform keeps image, targets and info consistent. All randomness comes from ``rng``.
    """

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The transformed sample; ``sample`` is not changed."""

    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample:
        """Like ``__call__``, with access to other samples: see :class:`MixTransform`."""
        return self(sample, rng)


@config
class MixTransform(Transform):
    """Base class of transforms that combine a sample with others, drawn from the data set."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Without a data set to draw from, the sample is combined with itself."""
        return self.mix(sample, rng, lambda _: sample)

    @abstractmethod
    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample:
        """Combines ``sample`` with others from ``draw``."""


# Drawn samples in a row that the transforms before a mixing one may reject.
_MOST_SKIPS = 100


def apply(
    transforms: Sequence[Transform],
    sample: Sample,
    rng: np.random.Generator,
    draw: Draw | None = None,
) -> Sample:
    """Applies ``transforms`` in order. ``draw`` gives them other samples of the data set.

    Without it, the untransformed sample itself is drawn. What is drawn passes the transforms before
    the first one that mixes. Raises :class:`DataError`, naming the image and the transform, if one
    fails on the image.
    """
    original = sample
    mixing = (i for i, one in enumerate(transforms) if isinstance(one, MixTransform))
    before = transforms[: next(mixing, 0)]

    def draw_transformed(rng: np.random.Generator) -> Sample:
        for _ in range(_MOST_SKIPS):
            try:
                return apply(before, original if draw is None else draw(rng), rng)
            except SkipSample:
                pass
        raise SkipSample

    for transform in transforms:
        try:
            sample = transform.mix(sample, rng, draw_transformed)
        except UserError:
            raise
        except (ValueError, RuntimeError, cv2.error) as error:
            (height, width), reason = sample.image.shape[:2], str(error).strip(" .")
            raise DataError(
                f"{sample.info.path or 'an image'}: {transform!r} cannot do it, as it comes at "
                f"{width} x {height} pixels (width x height): {reason}. Change that transform, or "
                "leave the image out."
            ) from error
        if sample.image.ndim == 2:  # OpenCV drops a single channel
            sample = replace(sample, image=sample.image[..., None])
    return sample
