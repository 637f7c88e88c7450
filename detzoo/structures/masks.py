"""Instance masks: full-size bitmaps, polygons, and the small grids that RoI heads predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import torch
from faster_coco_eval.core import mask as rle
from torch import Tensor
from torchvision.ops import roi_align
from typing_extensions import Self

from detzoo.ops.masks import paste_masks
from detzoo.structures.segmentation import decode_rle

Size = tuple[int, int]


class Masks(ABC):
    """N masks of one image."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: Tensor | slice) -> Self: ...

    @abstractmethod
    def to(self, device: torch.device | str) -> Self: ...


class TargetMasks(Masks):
    """Ground truth masks of an image of ``size`` (height, width) that transforms can change.

    ``is_missing`` (N,) marks objects without an annotated mask: theirs are empty, and are not
    trained on. It is None if every object has a mask.
    """

    size: Size
    is_missing: Tensor | None

    @abstractmethod
    def resize(self, size: Size) -> Self:
        """Resizes the masks with the image to ``size`` (height, width)."""

    @abstractmethod
    def flip(self, direction: Literal["horizontal", "vertical", "diagonal"]) -> Self:
        """Flips the masks with the image."""

    @abstractmethod
    def crop(self, left: int, top: int, size: Size) -> Self:
        """Crops to the window of ``size`` at (left, top). The window is empty outside the image."""

    @abstractmethod
    def warp(self, matrix: np.ndarray) -> Self:
        """After the affine map ``matrix`` (2, 3) of the image's pixels, in an image of its size."""

    @abstractmethod
    def boxes(self) -> Tensor:
        """Tight boxes (N, 4) xyxy; zeros for an empty mask."""

    @abstractmethod
    def crop_and_resize(self, boxes: Tensor, index: Tensor, size: int) -> Tensor:
        """Training targets of RoIs: mask ``index[r]`` in ``boxes[r]`` -> (R, size, size) 0 or 1."""

    @abstractmethod
    def to_bitmaps(self) -> BitmapMasks:
        """Converts the masks to bitmaps (N, H, W)."""


@dataclass(frozen=True)
class BitmapMasks(TargetMasks):
    """Masks as ``bitmaps`` (N, H, W), uint8 (or bool), 1 inside."""

    bitmaps: Tensor
    is_missing: Tensor | None = None

    @property
    def size(self) -> Size:  # type: ignore[override]
        return self.bitmaps.shape[1], self.bitmaps.shape[2]

    def __len__(self) -> int:
        return len(self.bitmaps)

    def __getitem__(self, index: Tensor | slice) -> BitmapMasks:
        missing = self.is_missing
        return BitmapMasks(self.bitmaps[index], None if missing is None else missing[index])

    def to(self, device: torch.device | str) -> BitmapMasks:
        missing = self.is_missing
        return BitmapMasks(
            self.bitmaps.to(device, non_blocking=True),
            None if missing is None else missing.to(device, non_blocking=True),
        )

    def resize(self, size: Size) -> BitmapMasks:
        height, width = size
        resized = np.empty((len(self), height, width), np.uint8)
        for mask, out in zip(self.bitmaps.numpy(), resized):
            cv2.resize(mask, (width, height), dst=out, interpolation=cv2.INTER_NEAREST)
        return replace(self, bitmaps=torch.from_numpy(resized))

    def flip(self, direction: Literal["horizontal", "vertical", "diagonal"]) -> BitmapMasks:
        axes = {"horizontal": (2,), "vertical": (1,), "diagonal": (1, 2)}[direction]
        return replace(self, bitmaps=self.bitmaps.flip(axes))

    def crop(self, left: int, top: int, size: Size) -> BitmapMasks:
        height, width = size
        out = self.bitmaps.new_zeros((len(self), height, width))
        y0, x0 = max(top, 0), max(left, 0)
        window = self.bitmaps[:, y0 : max(top + height, 0), x0 : max(left + width, 0)]
        rows, columns = window.shape[1:]
        out[:, y0 - top : y0 - top + rows, x0 - left : x0 - left + columns] = window
        return replace(self, bitmaps=out)

    def warp(self, matrix: np.ndarray) -> BitmapMasks:
        height, width = self.size
        warped = np.empty((len(self), height, width), np.uint8)
        for mask, out in zip(self.bitmaps.numpy().astype(np.uint8), warped):
            cv2.warpAffine(mask, matrix, (width, height), dst=out)
        return replace(self, bitmaps=torch.from_numpy(warped))

    def boxes(self) -> Tensor:
        occupied = self.bitmaps.bool()
        rows = occupied.any(2)  # (N, H)
        columns = occupied.any(1)  # (N, W)
        return extents(columns, rows)

    def crop_and_resize(self, boxes: Tensor, index: Tensor, size: int) -> Tensor:
        if len(boxes) == 0:
            return boxes.new_zeros((0, size, size))
        rois = torch.cat([index.to(boxes.dtype)[:, None], boxes], 1)
        maps = self.bitmaps.to(boxes.dtype)[:, None]
        # Adaptive sampling and half-pixel alignment, as in training of the published models.
        sampled = roi_align(maps, rois, (size, size), 1.0, 0, aligned=True)
        return (sampled[:, 0] >= 0.5).to(boxes.dtype)

    def to_bitmaps(self) -> BitmapMasks:
        return self


@dataclass(frozen=True)
class PolygonMasks(TargetMasks):
    """Masks as polygons on the CPU: a tuple of arrays (K, 2) of x, y in pixels per object.

    An object without polygons has no mask.
    """

    polygons: tuple[tuple[np.ndarray, ...], ...]
    size: Size

    @property
    def is_missing(self) -> Tensor | None:  # type: ignore[override]
        missing = torch.tensor([not parts for parts in self.polygons], dtype=torch.bool)
        return missing if missing.any() else None

    def __len__(self) -> int:
        return len(self.polygons)

    def __getitem__(self, index: Tensor | slice) -> PolygonMasks:
        picked = torch.arange(len(self))[index if isinstance(index, slice) else index.cpu()]
        return PolygonMasks(tuple(self.polygons[i] for i in picked.tolist()), self.size)

    def to(self, device: torch.device | str) -> PolygonMasks:
        return self

    def resize(self, size: Size) -> PolygonMasks:
        scale = np.array([size[1] / self.size[1], size[0] / self.size[0]])
        return PolygonMasks(self._map(lambda points: points * scale), size)

    def flip(self, direction: Literal["horizontal", "vertical", "diagonal"]) -> PolygonMasks:
        height, width = self.size
        sign, shift = {
            "horizontal": ((-1, 1), (width, 0)),
            "vertical": ((1, -1), (0, height)),
            "diagonal": ((-1, -1), (width, height)),
        }[direction]
        return PolygonMasks(
            self._map(lambda points: points * np.array(sign) + np.array(shift)), self.size
        )

    def crop(self, left: int, top: int, size: Size) -> PolygonMasks:
        """Shifts the polygons to the window; parts outside are clipped when they are rasterized."""
        moved = self._map(lambda points: points - np.array([left, top]))
        return PolygonMasks(moved, size)

    def warp(self, matrix: np.ndarray) -> PolygonMasks:
        moved = self._map(lambda points: points @ matrix[:, :2].T + matrix[:, 2])
        return PolygonMasks(moved, self.size)

    def boxes(self) -> Tensor:
        corners = torch.zeros((len(self), 4))
        limit = np.array([self.size[1], self.size[0]])
        for i, parts in enumerate(self.polygons):
            if parts:
                points = np.concatenate(parts).clip(0, limit)
                low, high = points.min(0), points.max(0)
                corners[i] = torch.tensor([*low, *high])
        return corners

    def crop_and_resize(self, boxes: Tensor, index: Tensor, size: int) -> Tensor:
        out = np.zeros((len(boxes), size, size), np.float32)
        windows = boxes.detach().cpu().double().numpy()
        for r, (window, i) in enumerate(zip(windows, index.tolist())):
            x1, y1, x2, y2 = window
            # A box narrower than a pixel would scale its polygon beyond any bitmap.
            scale = size / np.maximum([x2 - x1, y2 - y1], 0.1)
            parts = [(points - [x1, y1]) * scale for points in self.polygons[i]]
            out[r] = rasterize(parts, (size, size))
        return torch.from_numpy(out).to(boxes)

    def to_bitmaps(self) -> BitmapMasks:
        shape = (len(self), *self.size)
        bitmaps = np.array([rasterize(parts, self.size) for parts in self.polygons], np.uint8)
        return BitmapMasks(torch.from_numpy(bitmaps.reshape(shape)), self.is_missing)

    def _map(
        self, change: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[tuple[np.ndarray, ...], ...]:
        return tuple(tuple(change(points) for points in parts) for parts in self.polygons)


@dataclass(frozen=True)
class RoIMasks(Masks):
    """Predicted masks as ``probabilities`` (N, m, m) inside each detection's box."""

    probabilities: Tensor
    threshold: float = 0.5

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, index: Tensor | slice) -> RoIMasks:
        return RoIMasks(self.probabilities[index], self.threshold)

    def to(self, device: torch.device | str) -> RoIMasks:
        return RoIMasks(self.probabilities.to(device), self.threshold)

    def flipped(self, flip: Literal["none", "horizontal", "vertical", "diagonal"]) -> RoIMasks:
        """Flips the grids."""
        axes = {"none": (), "horizontal": (2,), "vertical": (1,), "diagonal": (1, 2)}[flip]
        return RoIMasks(self.probabilities.flip(axes), self.threshold)

    def paste(self, boxes: Tensor, size: Size) -> BitmapMasks:
        """Pastes each grid into its box (N, 4) in an image of ``size``, as full-size masks."""
        return BitmapMasks(paste_masks(self.probabilities, boxes, size, self.threshold))


def rasterize(parts: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """Rasterizes the polygons (K, 2) x, y of one object as the COCO tools do -> (H, W) uint8."""
    flat = [np.asarray(points, np.float64).reshape(-1).tolist() for points in parts]
    if not flat:
        return np.zeros(size, np.uint8)
    return decode_rle(rle.merge(rle.frPyObjects(flat, *size))["counts"], size)


def extents(columns: Tensor, rows: Tensor) -> Tensor:
    """Boxes from the occupied columns (N, W) and rows (N, H), end-exclusive."""
    bounds = []
    for occupied in (columns, rows):
        flags = occupied.to(torch.uint8)
        first = flags.argmax(1)
        last = flags.shape[1] - flags.flip(1).argmax(1)
        empty = ~occupied.any(1)
        bounds += [first.masked_fill(empty, 0), last.masked_fill(empty, 0)]
    x1, x2, y1, y2 = bounds
    return torch.stack([x1, y1, x2, y2], 1).to(torch.float32)
