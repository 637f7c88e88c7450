"""From candidates to detections."""

from __future__ import annotations

from detzoo.config import config
from detzoo.postprocess.nms import NMS, Suppression
from detzoo.structures import Candidates, Detections


@config
class Select:
    """Keeps scores over ``min_score``, suppresses duplicates, returns the best ``max_detections``.

    Dense heads consider at most ``pre_nms`` candidates per level (None: all).
    """

    min_score: float = 0.05
    pre_nms: int | None = None
    suppression: Suppression = NMS()
    max_detections: int = 100

    def __call__(self, candidates: Candidates) -> Detections:
        """Candidates of one image -> its detections, by falling score."""
        kept, scores = self.suppression(candidates)
        kept, scores = kept[: self.max_detections], scores[: self.max_detections]
        return Detections(candidates.boxes[kept], scores, candidates.labels[kept])
