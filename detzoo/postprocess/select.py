"""Selection of the final detections."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import PositiveInt, ScoreThreshold, config
from detzoo.losses.scoring import Scoring
from detzoo.postprocess.nms import NMS, Suppression
from detzoo.structures import Candidates, Detections

# Row, class and score of each of K candidates in a table of scores (R, C).
Pairs = tuple[Tensor, Tensor, Tensor]


@config
class Select:
    """Selects the final detections of an image: thresholds scores, suppresses duplicates, keeps the
    best.

    Everything that depends on the number of candidates is in these methods; ``StaticSelect`` is the
    version with fixed shapes.

    Args:
        min_score: Score above which a box is a candidate.
        pre_nms: Maximum number of candidates per level before NMS in dense heads; None: all.
        suppression: Suppression of duplicates.
        max_detections: Maximum number of detections; None: all.
    """

    min_score: ScoreThreshold = 0.05
    pre_nms: PositiveInt | None = None
    suppression: Suppression = NMS()
    max_detections: PositiveInt | None = 100

    def pairs(self, scores: Tensor) -> Pairs:
        """Selects the pairs of row and class in ``scores`` (R, C) above the threshold."""
        row, label = (scores > self.min_score).nonzero(as_tuple=True)
        return row, label, scores[row, label]

    def best_pairs(self, logits: Tensor, scoring: Scoring) -> Pairs:
        """Selects at most ``pre_nms`` pairs of prior and class of one level above the threshold,
        from logits (P, K).
        """
        row, label = scoring.above(logits, self.min_score).nonzero(as_tuple=True)
        score = scoring.scores(logits[row].float()).gather(1, label[:, None])[:, 0]
        if self.pre_nms is not None and len(score) > self.pre_nms:
            score, best = score.topk(self.pre_nms)
            row, label = row[best], label[best]
        return row, label, score

    def keep(self, candidates: Candidates, is_kept: Tensor) -> Candidates:
        """Returns the candidates for which ``is_kept`` (K,) is true."""
        return candidates[is_kept]

    def of_regions(self, scores: Tensor, regions: Detections) -> Tensor:
        """Returns the scores (R, C) of regions for :meth:`pairs`."""
        return scores

    def __call__(self, candidates: Candidates) -> Detections:
        """Selects detections from the candidates of one image, in descending order of score."""
        kept, scores = self.choose(candidates)
        return Detections(candidates.boxes[kept], scores, candidates.labels[kept])

    def choose(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Indices and scores of the selected candidates, in descending order of score."""
        kept, scores = self.suppression(candidates)
        return kept[: self.max_detections], scores[: self.max_detections]
