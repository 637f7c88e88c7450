"""Follows objects through the frames of a video, with ByteTrack of the package ``trackers``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from detzoo.errors import ConfigError
from detzoo.inference.result import Result
from detzoo.inference.selection import Selection

# Detections that score at least this much continue a track, below the scores that start one.
LOWEST_SCORE = 0.1
# An object that is not found for so long is a new one, in seconds.
_MEMORY = 1.0


class Tracker:
    """Gives each object a number that it keeps: ByteTrack (Zhang et al., ECCV 2022).

    Detections that ``selection`` keeps start tracks, from their second frame on; those with lower
    scores, down to :data:`LOWEST_SCORE`, only continue one. ``rate`` is in frames per second.
    Call it with the results of all frames in order. Raises :class:`ConfigError` where the package
    is not installed.
    """

    def __init__(self, selection: Selection, rate: float) -> None:
        try:
            from trackers import ByteTrackTracker
        except ImportError:
            raise ConfigError(
                "--track: needs the package trackers. Install it without what it depends on, which "
                "includes a second OpenCV: pip install --no-deps trackers"
            ) from None
        # Thresholds are by class, so the tracker sees only on which side of them a score is.
        self._tracker = ByteTrackTracker(
            frame_rate=rate,
            lost_track_buffer=round(30 * _MEMORY),  # in frames at 30 per second
            track_activation_threshold=0.5,
            high_conf_det_threshold=0.5,
        )
        self._selection = replace(selection, max_detections=None)
        self._most = selection.max_detections

    @property
    def lowest(self) -> float:
        """The lowest score of detections to call this with."""
        return min(self._selection.lowest, LOWEST_SCORE)

    def __call__(self, result: Result, seconds: float) -> Result:
        """``result`` with ``tracks``, of a frame ``seconds`` after the first."""
        found = result.detections
        is_wanted = self._selection.min_scores[found.labels].isfinite()
        found = found[is_wanted]
        is_kept = self._selection.keeps(found)
        seen = found.to_supervision()
        seen.mask = None  # not needed, and copied by every step
        seen.confidence = is_kept.numpy().astype(np.float32)
        seen.data["index"] = np.arange(len(found))
        tracked = self._tracker.update(seen, timestamp=seconds)
        tracks = torch.full((len(found),), -1, dtype=torch.int64)
        if len(tracked):
            tracks[torch.as_tensor(tracked.data["index"])] = torch.as_tensor(tracked.tracker_id)
        shown = (is_kept | (tracks >= 0)).nonzero()[:, 0][: self._most]
        return replace(result, detections=found[shown], tracks=tracks[shown])
