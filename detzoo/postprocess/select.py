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

    All that depends on how many candidates there are is in these methods; see ``StaticSelect`` for
    the same with fixed numbers.

    Args:
        min_score: Score above which a box is a candidate.
        pre_nms: How many candidates per level enter suppression in dense heads; None: all.
        suppression: Suppression of duplicates.
        max_detections: How many detections are kept at most; None: all.
    """

    min_score: ScoreThreshold = 0.05
    pre_nms: PositiveInt | None = None
    suppression: Suppression = NMS()
    max_detections: PositiveInt | None = 100

    def pairs(self, scores: Tensor) -> Pairs:
        """The pairs of row and class in ``scores`` (R, C) above the threshold."""
        row, label = (scores > self.min_score).nonzero(as_tuple=True)
        return row, label, scores[row, label]

    def best_pairs(self, logits: Tensor, scoring: Scoring) -> Pairs:
        """The pairs of prior and class of one level above the threshold, at most ``pre_nms``, from
        logits (P, K)."""
        row, label = scoring.above(logits, self.min_score).nonzero(as_tuple=True)
        score = scoring.scores(logits[row].float()).gather(1, label[:, None])[:, 0]
        if self.pre_nms is not None and len(score) > self.pre_nms:
            score, best = score.topk(self.pre_nms)
            row, label = row[best], label[best]
        return row, label, score

    def keep(self, candidates: Candidates, is_kept: Tensor) -> Candidates:
        """Only those candidates for which ``is_kept`` (K,) is true."""
        return candidates[is_kept]

    def of_regions(self, scores: Tensor, regions: Detections) -> Tensor:
        """Scores (R, C) of regions, as they count for :meth:`pairs`."""
        return scores

    def __call__(self, candidates: Candidates) -> Detections:
        """Selects from the candidates of one image; detections are in descending order of score."""
        kept, scores = self.choose(candidates)
        return Detections(candidates.boxes[kept], scores, candidates.labels[kept])

    def choose(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Indices and scores of the candidates selected, in descending order of score."""
        kept, scores = self.suppression(candidates)
        return kept[: self.max_detections], scores[: self.max_detections]
