"""The loss of heatmaps with Gaussian targets (https://arxiv.org/abs/1808.01244)."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import NonNegativeFloat, config
from detzoo.losses.base import Loss

EPS = 1e-12


@config
class GaussianFocalLoss(Loss):
    """Focal loss with a lower weight of negatives close to a keypoint.

    Args:
        alpha: Exponent of the error; larger values down-weight easy cells.
        gamma: Exponent of the weight of negatives, one minus the Gaussian.
    """

    alpha: NonNegativeFloat = 2.0
    gamma: NonNegativeFloat = 4.0

    def per_example(self, logits: Tensor, target: Tensor, /) -> Tensor:
        """Logits and target (B, C, H, W), which is 1 at keypoints -> (B,)."""
        probability = logits.float().sigmoid()
        is_keypoint = target == 1
        yes = (probability + EPS).log() * (1 - probability).pow(self.alpha)
        no = (1 - probability + EPS).log() * probability.pow(self.alpha)
        return -(yes * is_keypoint + no * (1 - target).pow(self.gamma)).flatten(1).sum(1)
