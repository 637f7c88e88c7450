"""From candidates to detections."""

from __future__ import annotations

from detzoo.config import ConfigError, config
from detzoo.postprocess.nms import NMS, Suppression
from detzoo.structures import Candidates, Detections


@config
class Select:
    """Keeps scores over ``min_score``, suppresses duplicates, returns the best ``max_detections``
    (None: all).

    Dense heads consider at most ``pre_nms`` candidates per level (None: all).
    """

    min_score: float = 0.05
    pre_nms: int | None = None
    suppression: Suppression = NMS()
    max_detections: int | None = 100

    def __post_init__(self) -> None:
        if not 0 <= self.min_score < 1:
            raise ConfigError(f"min_score: {self.min_score} is not in [0, 1)")
        if self.pre_nms is not None and self.pre_nms < 1:
            raise ConfigError(f"pre_nms: {self.pre_nms} is not at least 1; none considers all")
        if self.max_detections is not None and self.max_detections < 1:
            raise ConfigError(f"max_detections: {self.max_detections} is not at least 1")

    def __call__(self, candidates: Candidates) -> Detections:
        """Candidates of one image -> its detections, by falling score."""
        kept, scores = self.suppression(candidates)
        kept, scores = kept[: self.max_detections], scores[: self.max_detections]
        return Detections(candidates.boxes[kept], scores, candidates.labels[kept])
