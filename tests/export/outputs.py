"""What a runtime returns beside what the static form does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from detzoo.export.static import StaticDetections


def assert_same(outputs: Sequence[np.ndarray], expected: StaticDetections) -> None:
    """Every detection of either has a partner in the other.

    Of equal scores rounding decides which comes first; it grows from stage to stage.
    """
    boxes, scores, labels, num, left_out, *masks = map(torch.from_numpy, outputs)
    assert torch.equal(num, expected.num)
    assert torch.equal(left_out, expected.left_out)
    for image, count in enumerate(num.tolist()):
        ours = (boxes[image, :count], scores[image, :count], labels[image, :count])
        theirs = (
            expected.boxes[image, :count],
            expected.scores[image, :count],
            expected.labels[image, :count],
        )
        partner = _partners(ours, theirs)
        assert len(partner.unique()) == count
        if masks:
            assert expected.masks is not None
            own, wanted = masks[0][image, :count], expected.masks[image, partner]
            # Where a pixel is at the edge of a cell of RoIAlign, it takes another.
            assert ((own - wanted).abs() > 1e-3).float().mean() < 1e-3
        assert not boxes[image, count:].any()
        assert not scores[image, count:].any()


def _partners(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
    """The index of the partner of each, by score, class and box, each taken once."""
    close = (ours[1][:, None] - theirs[1]).abs() < 1e-3
    close &= ours[2][:, None] == theirs[2]
    gap = (ours[0][:, None] - theirs[0]).abs().amax(2)
    close &= gap < 0.1
    assert close.any(1).all()
    assert close.any(0).all()
    free = torch.ones(len(theirs[0]), dtype=torch.bool)
    chosen = []
    for row, distance in zip(close, gap):
        best = int(torch.where(row & free, distance, torch.inf).argmin())
        free[best] = False
        chosen.append(best)
    return torch.tensor(chosen, dtype=torch.int64)
