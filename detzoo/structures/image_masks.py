"""Masks predicted over the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.structures.images import ImageInfo, Size
from detzoo.structures.masks import BitmapMasks, Masks, extents

# Number of masks resized to full size at a time.
AT_ONCE = 8


@dataclass(frozen=True)
class ImageMasks(Masks):
    """Predicted masks as ``probabilities`` (N, h, w) over an input of ``size`` (height, width).

    They may also be logits, which are resized as such, with a ``threshold`` of 0. With ``bounds``,
    they say where the boxes of their detections are.
    """

    probabilities: Tensor
    size: Size
    threshold: float = 0.5
    bounds: bool = True

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, index: Tensor | slice) -> ImageMasks:
        return replace(self, probabilities=self.probabilities[index])

    def to(self, device: torch.device | str) -> ImageMasks:
        return replace(self, probabilities=self.probabilities.to(device))

    def at_input(self, size: Size) -> BitmapMasks:
        """Masks in input pixels, cropped to the image of ``size`` (height, width) at the origin."""
        return self._draw((0, 0), size, size)

    def boxes(self, size: Size) -> Tensor:
        """(N, 4) the tight boxes around the masks of :meth:`at_input`."""
        rows, columns = [], []
        for _, inside in self._resized(size):
            rows.append(inside.amax(2))
            columns.append(inside.amax(1))
        return extents(torch.cat(columns) > 0, torch.cat(rows) > 0)

    def boxes_and_means(self, size: Size) -> tuple[Tensor, Tensor]:
        """The boxes (N, 4), and the mean probability (N,) of the pixels of each mask, for logits;
        0 for an empty mask.
        """
        rows, columns, means = [], [], []
        for logits, inside in self._resized(size):
            rows.append(inside.amax(2))
            columns.append(inside.amax(1))
            area = inside.sum((1, 2)).clamp(min=1)
            means.append((logits.sigmoid() * inside).sum((1, 2)) / area)
        return extents(torch.cat(columns) > 0, torch.cat(rows) > 0), torch.cat(means)

    def _resized(self, size: Size) -> Iterator[tuple[Tensor, Tensor]]:
        """A few masks at a time: their values (n, H, W) in the input, and which pixels are inside,
        of those of the image of ``size``: 1.0, others 0.0, since the runtimes of exported files
        are slow in reducing integers and truth values.
        """
        device = self.probabilities.device
        row, column = (torch.arange(side, device=device) for side in self.size)
        shows_image = (row < size[0])[:, None] & (column < size[1])
        for part in self.probabilities.split(AT_ONCE):
            maps = resize_maps(part, self.size)
            yield maps, ((maps > self.threshold) & shows_image).to(torch.float32)

    def to_original(self, info: ImageInfo) -> BitmapMasks:
        """Maps the masks to original pixels."""
        masks = self._draw(*original_window(info), info.original_size)
        return masks if info.flip == "none" else masks.flip(info.flip)

    def _draw(self, corner: tuple[int, int], window: Size, size: Size) -> BitmapMasks:
        """Crops a ``window`` of the input at ``corner`` (top, left) and resizes it to ``size``."""
        out = torch.empty((len(self), *size), dtype=torch.uint8, device=self.probabilities.device)
        for part, drawn in zip(self.probabilities.split(AT_ONCE), out.split(AT_ONCE)):
            maps = resize_window(part, self.size, corner, window, size)
            drawn.copy_(maps > self.threshold)
        return BitmapMasks(out)


def original_window(info: ImageInfo) -> tuple[tuple[int, int], Size]:
    """Where the original image is in the input: (top, left), and its size there."""
    height, width = (round(side) for side in info.scaled_size)
    left, top = (round(shift) for shift in info.offset)
    return (top, left), (height, width)


def resize_window(
    maps: Tensor, input_size: Size, corner: tuple[int, int], window: Size, size: Size
) -> Tensor:
    """Resizes maps (N, h, w) to the input that they cover, crops a ``window`` of it at ``corner``
    (top, left), and resizes that to ``size``: (N, H, W)."""
    top, left = corner
    below, right = top + window[0] - input_size[0], left + window[1] - input_size[1]
    # Negative padding crops; positive padding is empty.
    resized = F.pad(resize_maps(maps, input_size), (-left, right, -top, below))
    return resized if size == window else resize_maps(resized, size)


def resize_maps(maps: Tensor, size: Size) -> Tensor:
    """Resizes maps (N, h, w) bilinearly to (N, H, W).

    They are the channels of one image, since OpenVINO takes five times as long for as many images
    of one channel.
    """
    if len(maps) == 0:
        return maps.new_zeros((0, *size))
    return F.interpolate(maps[None], size, mode="bilinear")[0]
