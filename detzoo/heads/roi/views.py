"""Averaging what a RoI head predicts for the same regions in several views of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from detzoo.heads.base import View
from detzoo.postprocess.select import Select
from detzoo.structures import Candidates, Detections, ImageInfo, RoIMasks

# Decoding with this least score gives a box for every region and class, in the same order for
# every view.
EVERY_SCORE = -1.0

Decode = Callable[[Sequence[Tensor], Sequence[Detections], Sequence[ImageInfo]], list[Candidates]]
AddMasks = Callable[[Sequence[Tensor], Sequence[Detections]], list[Detections]]


def predict_averaged(
    views: Sequence[View],
    proposals: Sequence[Detections],
    decode: Decode,
    select: Select,
    add_masks: AddMasks | None,
) -> list[Detections]:
    """Detections of each image from several views, all in original pixels, masks pasted.

    Boxes and scores of each proposal are averaged over the views before suppression, and so are
    the masks of what remains. ``decode`` gives a box for every region and class (EVERY_SCORE),
    ``add_masks`` RoI masks, None where there are none.
    """
    found = [decode(features, _given(proposals, infos), infos) for features, infos in views]
    detections = []
    for k in range(len(proposals)):
        parts = [image[k].to_original(infos[k]) for image, (_, infos) in zip(found, views)]
        scores = torch.stack([part.scores for part in parts]).mean(0)
        boxes = torch.stack([part.boxes for part in parts]).mean(0)
        mean = Candidates(boxes, scores, parts[0].labels, parts[0].group)
        detections.append(select(mean[scores > select.min_score]))
    return detections if add_masks is None else _with_mean_masks(views, detections, add_masks)


def _with_mean_masks(
    views: Sequence[View], detections: Sequence[Detections], add_masks: AddMasks
) -> list[Detections]:
    grids: list[list[RoIMasks]] = [[] for _ in detections]
    for features, infos in views:
        masked = add_masks(features, _given(detections, infos))
        for own, image, info in zip(grids, masked, infos):
            assert isinstance(image.masks, RoIMasks), "RoI heads predict masks inside boxes"
            own.append(image.masks.flipped(info.flip))
    out = []
    for own, image, info in zip(grids, detections, views[0][1]):
        mean = torch.stack([masks.probabilities for masks in own]).mean(0)
        masks = RoIMasks(mean, own[0].threshold).paste(image.boxes, info.original_size)
        out.append(Detections(image.boxes, image.scores, image.labels, masks))
    return out


def _given(regions: Sequence[Detections], infos: Sequence[ImageInfo]) -> list[Detections]:
    return [image.to_input(info) for image, info in zip(regions, infos)]
