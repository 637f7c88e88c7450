"""What a runtime returns beside what the static form does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from detzoo.export.static import StaticDetections

# Of the sides of boxes: what float32 leaves of them, and after six stages of random weights, where
# boxes of 2000 pixels differ by 3e-4 between float32 and float64, and by 5e-4 with noise of 1e-7 in
# the pixels. (The static form of QueryInst equals the dynamic one to the last bit in both.)
ROUNDING, ROUNDING_OF_STAGES = 1e-4, 1e-3


def assert_same(
    outputs: Sequence[np.ndarray],
    expected: StaticDetections,
    exact: bool = True,
    rounding: float = ROUNDING,
) -> None:
    """Every detection of either has a partner in the other.

    Of equal scores rounding decides which comes first; it grows from stage to stage: boxes differ
    by at most ``rounding`` of their side, or of 100 pixels. Where masks suppress each other, it
    decides of a few detections (unless ``exact``).
    """
    boxes, scores, labels, num, left_out, *more = map(torch.from_numpy, outputs)
    masks, segments = more[:1], more[1:]
    # Of thousands of candidates, a few are as near to the threshold as rounding.
    assert torch.equal(left_out > 0, expected.left_out > 0)
    torch.testing.assert_close(left_out.float(), expected.left_out.float(), rtol=0.001, atol=1)
    for image, (count, wanted_count) in enumerate(zip(num.tolist(), expected.num.tolist())):
        ours = (boxes[image, :count], scores[image, :count], labels[image, :count])
        theirs = (
            expected.boxes[image, :wanted_count],
            expected.scores[image, :wanted_count],
            expected.labels[image, :wanted_count],
        )
        own, partner = _partners(ours, theirs, rounding)
        if exact:
            assert len(own) == count == wanted_count
        else:
            assert len(own) >= 0.95 * max(count, wanted_count)
        if masks and len(own):
            assert expected.masks is not None
            gap = (masks[0][image, own] - expected.masks[image, partner]).abs()
            # Where a pixel is at the edge of a cell of RoIAlign, it takes another.
            assert (gap > 1e-3).float().mean() < 1e-3
        assert not boxes[image, count:].any()
        assert not scores[image, count:].any()
    wanted = (expected.segments, expected.segment_scores, expected.segment_labels)
    assert len(segments) == sum(values is not None for values in wanted)
    for values, right in zip(segments, wanted):
        torch.testing.assert_close(values, right, rtol=1e-3, atol=1e-3)


def _partners(
    ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], rounding: float
) -> tuple[Tensor, Tensor]:
    """Pairs of detections, by score, class and box, each taken once: their indices."""
    close = (ours[1][:, None] - theirs[1]).abs() < 1e-3
    close &= ours[2][:, None] == theirs[2]
    gap = (ours[0][:, None] - theirs[0]).abs().amax(2)
    sides = (theirs[0][:, 2:] - theirs[0][:, :2]).amax(1)
    close &= gap < rounding * sides.clamp(min=100)
    free = torch.ones(len(theirs[0]), dtype=torch.bool)
    pairs = []
    for row, distance in enumerate(torch.where(close, gap, torch.inf)):
        best = int(torch.where(free, distance, torch.inf).argmin())
        if free[best] and distance[best] < torch.inf:
            free[best] = False
            pairs.append((row, best))
    own, partner = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).unbind(1)
    return own, partner
