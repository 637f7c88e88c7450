"""A choice between ways of transforming an image."""

from __future__ import annotations

import numpy as np

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform, apply


@config
class OneOf(Transform):
    """Draws one of ``policies``, each as likely, and applies its transforms in order."""

    policies: tuple[tuple[Transform, ...], ...]

    def __post_init__(self) -> None:
        if not self.policies:
            raise ConfigError("policies: there is none")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        policy = self.policies[rng.integers(len(self.policies))]
        return apply(policy, sample, rng)
