"""Compares an exported detector with the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detzoo.inference.predictor import Predictor
from detzoo.inference.result import Result
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import PanopticMap

# Detections whose order or survival rounding may decide are not those near the threshold.
MARGIN = 0.01
# At most, in fp32: of scores, of boxes in pixels, and of masks as a fraction of their pixels.
MAX_SCORE_DIFFERENCE, MAX_BOX_DIFFERENCE, MAX_MASK_DIFFERENCE = 1e-3, 0.1, 0.05
# Of two detections of the same object with equal scores, rounding decides which suppresses the
# other: so few of all may have a partner elsewhere, if its score is the same and it overlaps.
MAX_TIES, TIED_SCORE, TIED_IOU = 0.005, 1e-5, 0.3
# Of the pixels of all panoptic maps: as with ties, a segment may be near a threshold.
MAX_PANOPTIC_DIFFERENCE = 0.005
# In fp16 and bf16: so many of the detections are so near.
LOW_SHARE, LOW_SCORE_DIFFERENCE, LOW_IOU = 0.99, 0.02, 0.95
LOW_PANOPTIC_DIFFERENCE = 0.02
# A pixel at the edge of a smaller mask weighs as in one of this area.
MIN_MASK_AREA = 50


@dataclass(frozen=True)
class Gap:
    """How far two detections are apart: see :class:`Difference`. ``iou`` is that of the boxes."""

    score: float
    box: float
    iou: float
    mask: float | None = None


@dataclass(frozen=True)
class Difference:
    """How far the ``compared`` detections on ``images`` are apart at worst: ``score``, ``box`` in
    pixels, and ``mask`` as a fraction of its pixels. ``unmatched`` have no partner of their class
    at all. ``left_out`` images have more candidates than fit. ``gaps`` are those of each.
    ``panoptic`` is the fraction of the pixels of panoptic maps that are in other segments."""

    images: int
    compared: int
    unmatched: int
    score: float
    box: float
    mask: float | None = None
    left_out: int = 0
    gaps: tuple[Gap, ...] = ()
    panoptic: float | None = None

    @property
    def near_share(self) -> float:
        """The fraction of the detections whose partner has nearly the same score and box; 1 if
        there are none."""
        near = [
            gap.score <= LOW_SCORE_DIFFERENCE
            and (gap.iou >= LOW_IOU or gap.box <= MAX_BOX_DIFFERENCE)  # a box may have no area
            for gap in self.gaps
        ]
        return sum(near) / len(near) if near else 1.0

    @property
    def is_near(self) -> bool:
        """Whether it is no more than fp16 and bf16 explain."""
        return self.near_share >= LOW_SHARE and (self.panoptic or 0.0) <= LOW_PANOPTIC_DIFFERENCE

    def is_rounding(self, *, by_masks: bool) -> bool:
        """Whether it is no more than float32 explains. With ``by_masks``, boxes are those around
        masks, in whole pixels, and masks tell more.

        Of all detections, ``MAX_TIES`` may be tied with another one.
        """
        outliers = [
            gap
            for gap in self.gaps
            if not (  # what is not a number is not near, either
                gap.score <= MAX_SCORE_DIFFERENCE
                and (by_masks or gap.box <= MAX_BOX_DIFFERENCE)
                and (gap.mask or 0.0) <= MAX_MASK_DIFFERENCE
            )
        ]
        are_tied = all(gap.score <= TIED_SCORE and gap.iou >= TIED_IOU for gap in outliers)
        is_same_map = (self.panoptic or 0.0) <= MAX_PANOPTIC_DIFFERENCE
        return is_same_map and are_tied and len(outliers) <= MAX_TIES * len(self.gaps)

    def __str__(self) -> str:
        parts = [f"scores differ by at most {self.score:.1e}, boxes by {self.box:.1e} pixels"]
        if self.mask is not None:
            parts.append(f"masks in {self.mask:.2%} of their pixels")
        if self.panoptic is not None:
            parts.append(f"panoptic maps in {self.panoptic:.2%}")
        text = f"{self.compared} detections on {self.images} images: {', '.join(parts)}"
        return text if not self.unmatched else f"{text}; {self.unmatched} have no partner"


def compare(
    original: Predictor,
    exported: Predictor,
    images: Sequence[np.ndarray],
    min_score: float,
    batch_size: int = 1,
) -> Difference:
    """Matches the detections of both in ``images`` (H, W, 3: BGR) whose score is at least
    ``min_score``; a partner may have a score a little below. The exported detector is given
    ``batch_size`` images at a time."""
    below = max(min_score - MARGIN, 0.0)
    left_out_before = getattr(exported.model, "num_overflowing", 0)
    pairs = list(
        zip(
            original.predict(images, min_score=below),
            exported.predict(images, min_score=below, batch_size=batch_size),
        )
    )
    both_ways = (*pairs, *(pair[::-1] for pair in pairs))
    gaps = [gap for one, other in both_ways for gap in _gaps(one, other, min_score)]
    masks = [gap.mask for gap in gaps if gap.mask is not None]
    maps = [(one.panoptic, other.panoptic) for one, other in pairs]
    moved = [panoptic_gap(a, b) for a, b in maps if a is not None and b is not None]
    return Difference(
        images=len(pairs),
        compared=len(gaps),
        unmatched=sum(gap.score > MARGIN for gap in gaps),
        score=float(np.max([gap.score for gap in gaps], initial=0.0)),  # tells what is no number
        box=float(np.max([gap.box for gap in gaps], initial=0.0)),
        mask=max(masks, default=None),
        left_out=getattr(exported.model, "num_overflowing", 0) - left_out_before,
        gaps=tuple(gaps),
        panoptic=sum(moved) / len(moved) if moved else None,
    )


def _gaps(one: Result, other: Result, min_score: float) -> list[Gap]:
    """For each detection, how far its nearest one of the same class is."""
    found = []
    # The least sure ones of a full list push others out.
    floor = float(other.scores.min()) + MARGIN if len(other) >= len(one) > 0 else 0.0
    overlaps = pairwise_iou(one.boxes, other.boxes)
    overlaps = torch.where(one.labels[:, None] == other.labels, overlaps, -1.0)
    for row in (one.scores >= min_score).nonzero()[:, 0].tolist():
        if not len(other) or float(overlaps[row].max()) < 0:
            found.append(Gap(float("inf"), float("inf"), 0.0))
            continue
        # Of several in the same place, the one that is as sure, and has the same sides.
        near = overlaps[row] >= overlaps[row].max() - 1e-3
        gap = (other.scores - one.scores[row]).abs()
        sides = (other.boxes - one.boxes[row]).abs().amax(1)
        cost = gap / MAX_SCORE_DIFFERENCE + sides / MAX_BOX_DIFFERENCE
        best = int(torch.where(near, cost, torch.inf).argmin())
        if gap[best] > MARGIN and one.scores[row] <= floor:
            continue
        mask = None
        if one.masks is not None and other.masks is not None:
            mask = _mask_gap(one.masks[row], other.masks[best])
        found.append(Gap(float(gap[best]), float(sides[best]), float(overlaps[row, best]), mask))
    return found


def panoptic_gap(one: PanopticMap, other: PanopticMap) -> float:
    """The fraction of the pixels that are not in a segment and its partner: that of the same class
    which shares most pixels with it, and with which it shares most."""
    size = (len(one) + 1, len(other) + 1)
    pairs = one.ids.long().flatten() * size[1] + other.ids.long().flatten()
    shared = torch.bincount(pairs, minlength=size[0] * size[1]).view(size)
    # What is void in both is the same, too.
    labels = [torch.cat([found.labels.new_tensor([-1]), found.labels]) for found in (one, other)]
    shared *= labels[0][:, None] == labels[1]
    is_best = (shared == shared.amax(1, keepdim=True)) & (shared == shared.amax(0, keepdim=True))
    return 1 - int((shared * is_best).sum()) / one.ids.numel()


def _mask_gap(a: Tensor, b: Tensor) -> float:
    """The fraction of the pixels of two masks (H, W) that only one has."""
    return int((a != b).sum()) / max(int((a | b).sum()), MIN_MASK_AREA)
