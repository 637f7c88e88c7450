"""Putting together what was found in several views of one image: flipped, of several sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detzoo.ops.nms import grouped_nms
from detzoo.structures import BitmapMasks, Detections, ImageInfo


def to_original(detections: Sequence[Detections], infos: Sequence[ImageInfo]) -> list[Detections]:
    """Those of a batch in the pixels of the image files."""
    return [image.to_original(info) for image, info in zip(detections, infos)]


def merge_detections(views: Sequence[Detections], max_iou: float = 0.5) -> Detections:
    """Detections of one image from several views, in original pixels -> without duplicates.

    Of boxes of one class that overlap by more than ``max_iou`` the best remains. There are at most
    as many as the view with the most has.
    """
    boxes, scores, labels = (
        torch.cat(column) for column in zip(*((v.boxes, v.scores, v.labels) for v in views))
    )
    masks = [view.masks.bitmaps for view in views if isinstance(view.masks, BitmapMasks)]
    ratings = [view.mask_scores for view in views if view.mask_scores is not None]
    together = Detections(
        boxes,
        scores,
        labels,
        BitmapMasks(torch.cat(masks)) if len(masks) == len(views) else None,
        torch.cat(ratings) if len(ratings) == len(views) else None,
    )
    kept = grouped_nms(boxes, scores, labels, max_iou)
    return together[kept[: max(len(view) for view in views)]]


def merge_proposals(views: Sequence[Detections]) -> Detections:
    """Regions of one image that several views propose: see :func:`merge_detections`."""
    return merge_detections(views, max_iou=0.7)
