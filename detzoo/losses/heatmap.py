"""The loss of heatmaps whose targets are Gaussian bumps (https://arxiv.org/abs/1808.01244)."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import config

EPS = 1e-12


@config
class GaussianFocalLoss:
    """Focal loss that expects less of a "no" the closer a cell is to a keypoint.

    ``alpha`` is how much answers count less that are right already, ``gamma`` how fast negatives
    count more with the distance from a keypoint.
    """

    weight: float = 1.0
    alpha: float = 2.0
    gamma: float = 4.0

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Sum over logits and target (B, C, H, W), divided by the number of keypoints: cells where
        the target is one."""
        probability = logits.float().sigmoid()
        is_keypoint = target == 1
        yes = (probability + EPS).log() * (1 - probability).pow(self.alpha)
        no = (1 - probability + EPS).log() * probability.pow(self.alpha)
        losses = yes * is_keypoint + no * (1 - target).pow(self.gamma)
        return -self.weight * losses.sum() / is_keypoint.sum().clamp(min=1)
