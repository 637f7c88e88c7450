"""Selection of the final detections."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import PositiveInt, ScoreThreshold, config
from detzoo.postprocess.nms import NMS, Suppression
from detzoo.structures import Candidates, Detections


@config
class Select:
    """Selects the final detections of an image: thresholds scores, suppresses duplicates, keeps the
    best.

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

    def __call__(self, candidates: Candidates) -> Detections:
        """Selects from the candidates of one image; detections are in descending order of score."""
        kept, scores = self.choose(candidates)
        return Detections(candidates.boxes[kept], scores, candidates.labels[kept])

    def choose(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Indices and scores of the candidates selected, in descending order of score."""
        kept, scores = self.suppression(candidates)
        return kept[: self.max_detections], scores[: self.max_detections]
