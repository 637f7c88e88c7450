"""Overlaps of boxes in the format of annotations and results."""

from __future__ import annotations

import numpy as np
import torch

from detzoo.ops.boxes import pairwise_iof, pairwise_iou


def iou_of_boxes(a: np.ndarray, b: np.ndarray, *, last_pixel: float = 0.0) -> np.ndarray:
    """IoU of boxes a (N, 4) and b (M, 4), both x, y, width, height float64 -> (N, M).

    ``last_pixel`` is added to both sides of all boxes: 1 if boxes include their last pixel.
    """
    return pairwise_iou(_corners(a, last_pixel), _corners(b, last_pixel)).numpy()


def coverage_of_boxes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The fraction of the area of each box of a (N, 4) that is inside each of b (M, 4), both x, y,
    width, height float64 -> (N, M)."""
    return pairwise_iof(_corners(a), _corners(b)).numpy()


def _corners(boxes: np.ndarray, last_pixel: float = 0.0) -> torch.Tensor:
    far = boxes[:, :2] + boxes[:, 2:] + last_pixel
    return torch.from_numpy(np.concatenate([boxes[:, :2], far], 1))
