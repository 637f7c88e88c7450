"""Moving objects a little within their image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import has_area
from detzoo.errors import DataError
from detzoo.structures import BitmapMasks

# Objects nearer to each other than this many pixels move together.
_TOUCHING = 5
# Background is made up in windows of at most this many pixels a side: it is smooth anyway.
_INPAINTED_SIDE = 128
# Width of the soft edge of a pasted object, in pixels.
_EDGE = 1.5


@config
class InstaBoost(Transform):
    """Cuts objects out, fills the holes, and pastes the objects nearby, with ``probability``.

    Each group of objects that touch is shifted by up to ``max_shift`` of its width and height,
    scaled by a factor in ``scale_range`` and turned by degrees in ``rotation_range``; its colors
    change with ``color_probability``. Boxes and masks follow. Needs masks, which become bitmaps.

    The idea and the ranges are those of InstaBoost, https://arxiv.org/abs/1908.07801, with places
    drawn uniformly. Cutting and filling are our own and simpler than in the authors' code: edges
    are blurred instead of matted, and holes are filled by OpenCV's inpainting (A. Telea 2004).
    """

    probability: float = 0.5
    scale_range: tuple[float, float] = (0.8, 1.2)
    max_shift: tuple[float, float] = (1 / 15, 1 / 15)
    rotation_range: tuple[float, float] = (-1.0, 1.0)
    color_probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("probability", "color_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not between 0 and 1")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ConfigError(f"scale_range: {self.scale_range!r} is not a range above zero")
        if min(self.max_shift) < 0:
            raise ConfigError(f"max_shift: {self.max_shift!r} is below zero")

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
    """Where the objects ``members`` go: ``mask`` (H, W) bool is all of them, ``matrix`` (2, 3)."""

    members: list[int]
    mask: np.ndarray
    matrix: np.ndarray
    contrast: float
    brightness: float

    def warp(self, mask: np.ndarray) -> np.ndarray:
        """A mask (H, W) uint8 at its new place."""
        size = mask.shape[1], mask.shape[0]
        return cv2.warpAffine(mask, self.matrix, size, flags=cv2.INTER_NEAREST)


def touching(bitmaps: np.ndarray) -> list[list[int]]:
    """Masks (N, H, W) -> the indices of those that move together. Empty ones do not move."""
    if len(bitmaps) == 0:
        return []
    kernel = np.ones((_TOUCHING, _TOUCHING), np.uint8)
    _, component = cv2.connectedComponents(cv2.dilate(bitmaps.max(0), kernel))
    groups: dict[int, list[int]] = {}
    for k, bitmap in enumerate(bitmaps):
        # A mask of several parts goes with the one that holds most of it.
        counts = np.bincount(component[bitmap > 0])
        if len(counts):
            groups.setdefault(int(counts.argmax()), []).append(k)
    return list(groups.values())


def fill_hole(image: np.ndarray, mask: np.ndarray) -> None:
    """Replaces what ``mask`` (H, W) bool covers of ``image`` by what its surroundings suggest."""
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8))
    x, y, width, height = cv2.boundingRect(hole)
    margin = max(width, height) // 8 + 4
    rows = slice(max(y - margin, 0), y + height + margin)
    columns = slice(max(x - margin, 0), x + width + margin)
    window, hole = image[rows, columns], hole[rows, columns]
    if hole.all():
        return  # nothing is known of what is behind
    size = hole.shape[1], hole.shape[0]
    shrink = min(1.0, _INPAINTED_SIDE / max(size))
    small = max(int(size[0] * shrink), 2), max(int(size[1] * shrink), 2)
    # Of a small pixel, any part in the hole makes it unknown.
    unknown = cv2.resize(hole.astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0
    pixels = cv2.resize(window, small, interpolation=cv2.INTER_AREA)
    if unknown.all():
        return
    pixels = pixels.clip(0, 255).astype(np.uint8)
    filled = cv2.inpaint(pixels, unknown.view(np.uint8), 3, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
    blend(window, filled, _soft(hole))


def paste(image: np.ndarray, source: np.ndarray, move: Move) -> None:
    """Puts the objects of ``source`` at their new place in ``image``."""
    size = image.shape[1], image.shape[0]
    # Colors of the objects reach a little beyond their edge, where they are blended.
    objects = source.astype(np.float32) * move.contrast + move.brightness
    objects = cv2.warpAffine(objects, move.matrix, size, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(_soft(move.mask.astype(np.uint8)), move.matrix, size)
    blend(image, objects, alpha)


def blend(image: np.ndarray, other: np.ndarray, alpha: np.ndarray) -> None:
    """``image`` (H, W, 3) becomes ``other`` where ``alpha`` (H, W) is 1, in place."""
    weight = alpha[..., None]
    mixed = image * (1 - weight) + other * weight
    image[:] = mixed.clip(0, 255).round() if image.dtype == np.uint8 else mixed


def _soft(mask: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _EDGE)
