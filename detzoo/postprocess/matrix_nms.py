"""Matrix NMS and the final choice among masks, as value objects."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.ops.matrix_nms import matrix_decay


@config
class MatrixNMS:
    """Scores of masks fall with their overlap with better ones (https://arxiv.org/abs/2003.10152).

    Those that fall below ``min_score`` go.
    """

    sigma: float = 2.0
    min_score: float = 0.05


@config
class MaskSelect:
    """Keeps scores over ``min_score``, suppresses duplicates, returns the best ``max_detections``.

    ``mask_threshold`` is the probability over which a pixel belongs to a mask; the ``pre_nms`` best
    masks are compared with each other.
    """

    min_score: float = 0.1
    mask_threshold: float = 0.5
    pre_nms: int = 500
    suppression: MatrixNMS = MatrixNMS()
    max_detections: int = 100

    def __post_init__(self) -> None:
        for name in ("min_score", "mask_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not in [0, 1)")
        for name in ("pre_nms", "max_detections"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not at least 1")

    def __call__(
        self, masks: Tensor, mask: Tensor, scores: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Candidates with ``scores`` (K,), ``labels`` (K,) and the number ``mask`` (K,) of their
        mask among ``masks`` (M, h, w) of 0 and 1 -> the kept ones and their new scores."""
        scores, order = scores.sort(descending=True)
        scores, order = scores[: self.pre_nms], order[: self.pre_nms]
        scores = scores * matrix_decay(masks[mask[order]], labels[order], self.suppression.sigma)
        enough = scores >= self.suppression.min_score
        scores, again = scores[enough].sort(descending=True)
        kept = order[enough][again]
        return kept[: self.max_detections], scores[: self.max_detections]
