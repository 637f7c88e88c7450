"""A random choice of transforms."""

from __future__ import annotations

import numpy as np

from detzoo.config import NonEmpty, config
from detzoo.data.sample import Sample, Transform, apply


@config
class OneOf(Transform):
    """Applies one of several sequences of transforms, chosen at random.

    Args:
        policies: The sequences, all equally likely.
    """

    policies: NonEmpty[tuple[Transform, ...]]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        policy = self.policies[rng.integers(len(self.policies))]
        return apply(policy, sample, rng)
