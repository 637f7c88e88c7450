"""Matrix NMS and the selection of final masks, as value objects."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from detzoo.config import PositiveFloat, PositiveInt, ScoreThreshold, UnitFloat, config
from detzoo.ops.matrix_nms import matrix_decay


class MaskPairs(NamedTuple):
    """K pairs of cell and class of a level, and the ``cells`` (M,) that need a mask for them.

    ``mask`` (K,) is the index of a pair's cell among them; ``labels`` and ``scores`` are (K,).
    """

    cells: Tensor
    mask: Tensor
    labels: Tensor
    scores: Tensor


@config
class MatrixNMS:
    """Decays the scores of masks by their IoU with higher-scored ones
    (https://arxiv.org/abs/2003.10152).

    Args:
        sigma: Factor of the squared IoU in the Gaussian: the larger, the stronger the decay.
        min_score: Masks whose decayed score is lower are dropped.
    """

    sigma: PositiveFloat = 2.0
    min_score: UnitFloat = 0.05


@config
class MaskSelect:
    """Selects the final masks of an image: thresholds scores, suppresses duplicates, keeps the
    best.

    All that depends on how many candidates there are is in these methods; see ``StaticMaskSelect``
    for the same with fixed numbers.

    Args:
        min_score: Score above which a mask is a candidate.
        mask_threshold: Probability above which a pixel belongs to the mask.
        pre_nms: Maximum number of candidates before NMS.
        suppression: Suppression of duplicates.
        max_detections: Maximum number of masks.
    """

    min_score: ScoreThreshold = 0.1
    mask_threshold: ScoreThreshold = 0.5
    pre_nms: PositiveInt = 500
    suppression: MatrixNMS = MatrixNMS()
    max_detections: PositiveInt = 100

    def pairs(self, scores: Tensor) -> MaskPairs:
        """The pairs of cell and class in ``scores`` (G * G, C) of a level above the threshold, and
        the cells that need a mask for it."""
        cell, label = (scores > self.min_score).nonzero(as_tuple=True)
        cells, mask = cell.unique(return_inverse=True)
        return MaskPairs(cells, mask, label, scores[cell, label])

    def keep(self, pairs: MaskPairs, is_kept: Tensor) -> MaskPairs:
        """Only those pairs for which ``is_kept`` (K,) is true, with all the cells."""
        mask, labels, scores = (values[is_kept] for values in pairs[1:])
        return MaskPairs(pairs.cells, mask, labels, scores)

    def __call__(
        self, masks: Tensor, mask: Tensor, scores: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Selects from K candidates -> indices and new scores of those kept.

        Each has a score, a label and the index ``mask`` of its mask in binary ``masks`` (M, h, w).
        """
        scores, order = scores.sort(descending=True)
        scores, order = scores[: self.pre_nms], order[: self.pre_nms]
        scores = scores * matrix_decay(masks[mask[order]], labels[order], self.suppression.sigma)
        enough = scores >= self.suppression.min_score
        scores, again = scores[enough].sort(descending=True)
        kept = order[enough][again]
        return kept[: self.max_detections], scores[: self.max_detections]
