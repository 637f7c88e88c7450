"""Merges detections in several augmentations of one image (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detzoo.ops.nms import grouped_nms
from detzoo.structures import BitmapMasks, Detections, ImageInfo


def to_original(detections: Sequence[Detections], infos: Sequence[ImageInfo]) -> list[Detections]:
    """Maps the detections of a batch to original pixels."""
    return [image.to_original(info) for image, info in zip(detections, infos)]


def merge_detections(versions: Sequence[Detections], max_iou: float = 0.5) -> Detections:
    """Merges the detections in several augmentations of one image, in original pixels, by NMS.

    NMS with ``max_iou`` is applied per class. The result has at most as many detections as the
    augmentation with the most.
    """
    boxes, scores, labels = (
        torch.cat(column) for column in zip(*((v.boxes, v.scores, v.labels) for v in versions))
    )
    masks = [found.masks.bitmaps for found in versions if isinstance(found.masks, BitmapMasks)]
    mask_scores = [found.mask_scores for found in versions if found.mask_scores is not None]
    together = Detections(
        boxes,
        scores,
        labels,
        BitmapMasks(torch.cat(masks)) if len(masks) == len(versions) else None,
        torch.cat(mask_scores) if len(mask_scores) == len(versions) else None,
    )
    kept = grouped_nms(boxes, scores, labels, max_iou)
    return together[kept[: max(len(found) for found in versions)]]


def merge_proposals(versions: Sequence[Detections]) -> Detections:
    """Merges the proposals in several augmentations of one image: see :func:`merge_detections`."""
    return merge_detections(versions, max_iou=0.7)
