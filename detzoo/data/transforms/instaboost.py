"""Instance copy-paste within the same image (InstaBoost, https://arxiv.org/abs/1908.07801)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from detzoo.config import Interval, NonNegativeFloat, PositiveFloat, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import has_area
from detzoo.errors import DataError
from detzoo.structures import BitmapMasks

# Objects closer to each other than this many pixels move together.
_TOUCHING = 5
# Maximum side, in pixels, at which the smooth background is inpainted.
_INPAINTED_SIDE = 128
# Width of the soft edge of a pasted object, in pixels.
_EDGE = 1.5


@config
class InstaBoost(Transform):
    """Cuts out objects, fills the holes, and pastes the objects nearby.

    Objects that touch move together. Boxes and masks are transformed, too. Requires masks, which
    become bitmaps.

    The idea and the ranges are those of InstaBoost, with positions sampled uniformly. Cutting and
    filling are simpler than in the authors' code: edges are blurred instead of matted, and holes
    are filled by OpenCV's inpainting (A. Telea 2004).

    Args:
        probability: Probability of the transform.
        scale_range: Range of the factor by which objects are scaled.
        max_shift: Maximum shift in x and y, relative to the width and height of the objects.
        rotation_range: Range of the angle by which objects are rotated, in degrees.
        color_probability: Probability that brightness and contrast of the objects change.
    """

    probability: UnitFloat = 0.5
    scale_range: Interval[PositiveFloat] = (0.8, 1.2)
    max_shift: tuple[NonNegativeFloat, NonNegativeFloat] = (1 / 15, 1 / 15)
    rotation_range: Interval[float] = (-1.0, 1.0)
    color_probability: UnitFloat = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        targets = sample.targets
        if targets.masks is None:
            raise DataError(
                f"{sample.info.path}: InstaBoost moves objects by their masks, and none are "
                "loaded. Train on data with masks (data.masks=bitmap), or without InstaBoost."
            )
        if rng.random() >= self.probability or len(targets) == 0:
            return sample
        bitmaps = targets.masks.to_bitmaps().bitmaps.numpy().copy()
        boxes = targets.boxes.clone()
        moves = [self._draw(members, bitmaps[members].any(0), rng) for members in touching(bitmaps)]
        image = sample.image.copy()
        for move in moves:
            fill_hole(image, move.mask)
        for move in moves:
            paste(image, sample.image, move)
            for k in move.members:
                bitmaps[k] = move.warp(bitmaps[k])
        moved = BitmapMasks(torch.from_numpy(bitmaps), targets.masks.is_missing)
        changed = [k for move in moves for k in move.members]
        boxes[changed] = moved.boxes()[changed]
        targets = replace(targets, boxes=boxes, masks=moved)
        return replace(sample, image=image, targets=targets[has_area(boxes)])

    def _draw(self, members: list[int], mask: np.ndarray, rng: np.random.Generator) -> Move:
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        angle, scale = rng.uniform(*self.rotation_range), rng.uniform(*self.scale_range)
        matrix = cv2.getRotationMatrix2D((x + width / 2, y + height / 2), angle, scale)
        matrix[0, 2] += rng.uniform(-1, 1) * self.max_shift[0] * width
        matrix[1, 2] += rng.uniform(-1, 1) * self.max_shift[1] * height
        contrast, brightness = 1.0, 0.0
        if rng.random() < self.color_probability:
            contrast, brightness = rng.uniform(0.8, 1.2), rng.uniform(-20, 20)
        return Move(members, mask, matrix, contrast, brightness)


@dataclass(frozen=True)
class Move:
    """The affine map ``matrix`` (2, 3) of objects ``members``, whose joint ``mask`` is (H, W)."""

    members: list[int]
    mask: np.ndarray
    matrix: np.ndarray
    contrast: float
    brightness: float

    def warp(self, mask: np.ndarray) -> np.ndarray:
        """Applies the map to a mask (H, W) uint8."""
        size = mask.shape[1], mask.shape[0]
        return cv2.warpAffine(mask, self.matrix, size, flags=cv2.INTER_NEAREST)


def touching(bitmaps: np.ndarray) -> list[list[int]]:
    """Groups masks (N, H, W) that move together, as indices; empty ones do not move."""
    if len(bitmaps) == 0:
        return []
    kernel = np.ones((_TOUCHING, _TOUCHING), np.uint8)
    _, component = cv2.connectedComponents(cv2.dilate(bitmaps.max(0), kernel))
    groups: dict[int, list[int]] = {}
    for k, bitmap in enumerate(bitmaps):
        # A mask in several parts belongs to the component that contains most of it.
        counts = np.bincount(component[bitmap > 0])
        if len(counts):
            groups.setdefault(int(counts.argmax()), []).append(k)
    return list(groups.values())


def fill_hole(image: np.ndarray, mask: np.ndarray) -> None:
    """Inpaints ``mask`` (H, W) bool in ``image``, in place."""
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8))
    x, y, width, height = cv2.boundingRect(hole)
    margin = max(width, height) // 8 + 4
    rows = slice(max(y - margin, 0), y + height + margin)
    columns = slice(max(x - margin, 0), x + width + margin)
    window, hole = image[rows, columns], hole[rows, columns]
    if hole.all():
        return  # no background is known
    size = hole.shape[1], hole.shape[0]
    shrink = min(1.0, _INPAINTED_SIDE / max(size))
    small = max(int(size[0] * shrink), 2), max(int(size[1] * shrink), 2)
    # A small pixel is unknown if any part of it is in the hole.
    unknown = cv2.resize(hole.astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0
    pixels = cv2.resize(window, small, interpolation=cv2.INTER_AREA)
    if unknown.all():
        return
    pixels = pixels.clip(0, 255).astype(np.uint8)
    filled = cv2.inpaint(pixels, unknown.view(np.uint8), 3, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
    blend(window, filled, _soft(hole))


def paste(image: np.ndarray, source: np.ndarray, move: Move) -> None:
    """Pastes the moved objects of ``source`` into ``image``, in place."""
    size = image.shape[1], image.shape[0]
    # The objects' colors extend a little beyond their edges, where they are blended.
    objects = source.astype(np.float32) * move.contrast + move.brightness
    objects = cv2.warpAffine(objects, move.matrix, size, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(_soft(move.mask.astype(np.uint8)), move.matrix, size)
    blend(image, objects, alpha)


def blend(image: np.ndarray, other: np.ndarray, alpha: np.ndarray) -> None:
    """Blends ``other`` into ``image`` (H, W, 3) by ``alpha`` (H, W), in place."""
    weight = alpha[..., None]
    mixed = image * (1 - weight) + other * weight
    image[:] = mixed.clip(0, 255).round() if image.dtype == np.uint8 else mixed


def _soft(mask: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _EDGE)
