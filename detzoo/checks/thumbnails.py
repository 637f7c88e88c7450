"""Pictures of places where something was found."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from detzoo.checks.finding import Place
from detzoo.data.dataset import DetectionDataset
from detzoo.data.images import read_image
from detzoo.errors import DataError
from detzoo.inference.draw import draw_targets
from detzoo.report import Picture
from detzoo.structures import BitmapMasks, Targets
from detzoo.structures.masks import rasterize
from detzoo.structures.segmentation import decode_rle

# Longer side of a picture, in pixels.
SIDE = 480
# What is shown around objects: so many times their size, and at least this part of the image.
AROUND, LEAST_PART = 3.0, 1 / 3
# Further off, OpenCV cannot draw lines.
_FAR = 1e4
# The color of what lies outside the image.
OUTSIDE = 128


def thumbnails(place: Place, *, masks: bool = False) -> list[Picture]:
    """The image at ``place`` and its twin, as far as they can be read.

    Shows the objects of the place and what is around them, other objects in gray; of a place
    without objects, the whole image and all its objects. ``masks`` draws those of the objects too.
    """
    pictures = []
    for one in (place, place.twin):
        if one is None:
            continue
        try:
            image = _draw(one, masks)
        except DataError:  # what cannot be read is a finding itself
            continue
        pictures.append(Picture.of(image, _caption(one)))
    return pictures


def _draw(place: Place, masks: bool) -> np.ndarray:
    dataset = place.split.dataset
    path = dataset.path(place.image)
    image = read_image(path, dataset.channels, ignore_exif=dataset.ignore_exif)
    size = image.shape[:2]
    rows = dataset.annotations.rows(place.image)
    chosen = torch.zeros(len(dataset.annotations), dtype=torch.bool)
    chosen[list(place.objects) if place.objects else rows] = True
    boxes, chosen = _corners(dataset, rows), chosen[rows]

    whole = (0, 0, size[1], size[0])
    left, top, right, bottom = _window(boxes[chosen], size) if place.objects else whole
    scale = SIDE / max(right - left, bottom - top)
    new_size = (max(round((bottom - top) * scale), 1), max(round((right - left) * scale), 1))
    shift = torch.tensor([left, top, left, top])
    boxes = ((boxes - shift) * scale).clamp(-_FAR, _FAR)
    drawn = None
    if (
        masks and list(size) == dataset.sizes[place.image].tolist()
    ):  # else they are of another image
        objects = [rows.start + k for k in chosen.nonzero()[:, 0].tolist()]
        bitmaps = _bitmaps(dataset, objects, (size[0], size[1]))
        window = bitmaps.crop(left, top, (bottom - top, right - left))
        drawn = window.resize(new_size)
    labels = dataset.annotations.labels[rows][chosen]
    targets = Targets(boxes[chosen], labels, ignored_boxes=boxes[~chosen], masks=drawn)
    view = _crop(image, left, top, right, bottom)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    view = cv2.resize(view, new_size[::-1], interpolation=method)
    return draw_targets(view.reshape(*new_size, -1), targets, dataset.class_names)


def _window(boxes: Tensor, size: Sequence[int]) -> tuple[int, int, int, int]:
    """What is shown around ``boxes`` (K, 4): left, top, right, bottom, at most an image further."""
    height, width = size
    # Where boxes lie far outside, or are huge, the image itself must still be seen.
    limit = torch.tensor([-0.5 * width, -0.5 * height, 1.5 * width, 1.5 * height])
    low = torch.maximum(boxes[:, :2].amin(0), limit[:2]).minimum(limit[2:])
    high = torch.minimum(boxes[:, 2:].amax(0), limit[2:]).maximum(limit[:2])
    corner = torch.tensor([float(width), float(height)])
    if (low >= corner).any() or (high <= 0).any():
        # All of the image, and on which side of it the boxes are.
        low, high = low.clamp(max=0), torch.maximum(high, corner)
    side = max(AROUND * float((high - low).max()), LEAST_PART * max(height, width))
    center = (low + high) / 2
    x1, y1 = (center - side / 2).floor().int().tolist()
    x2, y2 = (center + side / 2).ceil().int().tolist()
    # No more of the outside than the boxes need.
    margin = 0.05 * side
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    x1 = max(x1, 0 if left >= 0 else int(left - margin))
    y1 = max(y1, 0 if top >= 0 else int(top - margin))
    x2 = min(x2, width if right <= width else int(right + margin))
    y2 = min(y2, height if bottom <= height else int(bottom + margin))
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


def _crop(image: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """The window of an image (H, W, C), gray where that lies outside."""
    height, width = image.shape[:2]
    view = np.full((bottom - top, right - left, image.shape[2]), OUTSIDE, np.uint8)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x1 < x2 and y1 < y2:
        view[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    return view


def _corners(dataset: DetectionDataset, rows: slice) -> Tensor:
    """(K, 4) xyxy float32."""
    boxes = dataset.annotations.boxes[rows]
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).float()


def _bitmaps(dataset: DetectionDataset, objects: list[int], size: tuple[int, int]) -> BitmapMasks:
    """The masks of these objects, empty where there is none."""
    stored = dataset.annotations.segmentations
    bitmaps = np.zeros((len(objects), *size), np.uint8)
    for bitmap, n in zip(bitmaps, objects):
        if stored is not None and stored.is_there[n]:
            code = stored.code(n)
            bitmap[:] = decode_rle(code, size) if code else rasterize(stored.polygons(n), size)
    return BitmapMasks(torch.from_numpy(bitmaps))


def _caption(place: Place) -> str:
    dataset = place.split.dataset
    name = os.path.basename(dataset.file_names[place.image])
    labels = dataset.annotations.labels
    names = dict.fromkeys(dataset.class_names[int(labels[n])] for n in place.objects)
    return ": ".join(part for part in (name, ", ".join(names), place.note) if part)
