"""Averages the predictions of a RoI head for the same regions over augmentations of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.postprocess.select import Pairs
from detzoo.structures import Candidates, Detections, ImageInfo, RoIMasks


def every_pair(scores: Tensor) -> Pairs:
    """Returns all pairs of row and class in ``scores`` (R, C), so that augmentations can be
    averaged.
    """
    index = torch.arange(scores.numel(), device=scores.device)
    return index // scores.shape[1], index % scores.shape[1], scores.flatten()


def average_candidates(seen: Sequence[Candidates], infos: Sequence[ImageInfo]) -> Candidates:
    """Averages the same candidates of one image over augmentations, in original pixels."""
    boxes = [info.to_original(one.boxes) for one, info in zip(seen, infos)]
    scores = [one.scores for one in seen]
    first = seen[0]
    return Candidates(
        torch.stack(boxes).mean(0), torch.stack(scores).mean(0), first.labels, first.group
    )


def average_detections(seen: Sequence[Detections], infos: Sequence[ImageInfo]) -> Detections:
    """Averages the same detections of one image over augmentations, in original pixels.

    Masks are pasted.
    """
    first = seen[0]
    boxes = torch.stack([info.to_original(one.boxes) for one, info in zip(seen, infos)]).mean(0)
    masks = mask_scores = None
    if first.masks is not None:
        upright = []
        for one, info in zip(seen, infos):
            assert isinstance(one.masks, RoIMasks), "RoI heads predict masks inside boxes"
            upright.append(one.masks.flipped(info.flip))
        mean = torch.stack([grids.probabilities for grids in upright]).mean(0)
        masks = RoIMasks(mean, upright[0].threshold).paste(boxes, infos[0].original_size)
    if first.mask_scores is not None:
        mask_scores = torch.stack([one.mask_scores for one in seen if one.mask_scores is not None])
        mask_scores = mask_scores.mean(0)
    return Detections(boxes, first.scores, first.labels, masks, mask_scores)
