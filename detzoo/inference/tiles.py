"""Large images in overlapping tiles, so that small objects keep their pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.ops.boxes import pairwise_iof
from detzoo.ops.nms import grouped_nms
from detzoo.structures import BitmapMasks, Detections
from detzoo.structures.images import Size

# A box that comes so close to its tile's edge, in pixels, may go on beyond it.
_EDGE = 2.0

Tile = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive


def place_tiles(size: Size, tile: int, overlap: float) -> list[Tile]:
    """Square tiles that cover an image of ``size``, row by row.

    Neighbours share at least the fraction ``overlap`` of a tile. The last ones end at the border.
    """
    height, width = size
    return [
        (left, top, min(left + tile, width), min(top + tile, height))
        for top in _starts(height, tile, overlap)
        for left in _starts(width, tile, overlap)
    ]


def merge_tiles(
    found: Sequence[Detections], tiles: Sequence[Tile], size: Size, max_iou: float = 0.5
) -> Detections:
    """Detections of the tiles, each in its tile's pixels -> of the image of ``size``.

    An object that several tiles saw is kept once. Per class, boxes that overlap a better one by
    more than ``max_iou`` go, and so do boxes that a tile's edge has cut, where a whole box covers
    more than half of them.
    """
    counts = torch.tensor([len(part) for part in found])
    corners = torch.tensor([tile[:2] for tile in tiles], dtype=torch.float32)
    boxes = torch.cat([part.boxes for part in found])
    boxes = boxes + corners.repeat_interleave(counts, 0).repeat(1, 2)
    scores = torch.cat([part.scores for part in found])
    labels = torch.cat([part.labels for part in found])

    is_cut = torch.cat([_cut_by_edge(*item, size) for item in zip(found, tiles)])
    whole, cut = (~is_cut).nonzero()[:, 0], is_cut.nonzero()[:, 0]
    covers = pairwise_iof(boxes[cut], boxes[whole]) > 0.5
    covers &= labels[cut][:, None] == labels[whole]
    candidates = torch.cat([whole, cut[~covers.any(1)]])
    keep = candidates[
        grouped_nms(boxes[candidates], scores[candidates], labels[candidates], max_iou)
    ]
    masks = None
    if any(isinstance(part.masks, BitmapMasks) for part in found):
        masks = _place_masks(found, tiles, keep, counts, size)
    mask_scores = [part.mask_scores for part in found if part.mask_scores is not None]
    return Detections(
        boxes[keep],
        scores[keep],
        labels[keep],
        masks,
        torch.cat(mask_scores)[keep] if len(mask_scores) == len(found) else None,
    )


def _cut_by_edge(detections: Detections, tile: Tile, size: Size) -> Tensor:
    """(N,) whether a box ends at an edge of its tile that is not one of the image."""
    left, top, right, bottom = tile
    low = detections.boxes[:, :2] < _EDGE
    high = detections.boxes[:, 2:] > torch.tensor([right - left, bottom - top]) - _EDGE
    inner_low = torch.tensor([left > 0, top > 0])
    inner_high = torch.tensor([right < size[1], bottom < size[0]])
    return ((low & inner_low) | (high & inner_high)).any(1)


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    if length <= tile:
        return [0]
    stride = max(1, int(tile * (1 - overlap)))
    return [*range(0, length - tile, stride), length - tile]


def _place_masks(
    found: Sequence[Detections],
    tiles: Sequence[Tile],
    keep: Tensor,
    counts: Tensor,
    size: Size,
) -> BitmapMasks:
    """The masks of the kept detections alone, since full-size bitmaps are large."""
    tile_of = torch.arange(len(tiles)).repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    bitmaps = torch.zeros((len(keep), *size), dtype=torch.uint8)
    for bitmap, index in zip(bitmaps, keep.tolist()):
        number = int(tile_of[index])
        left, top, right, bottom = tiles[number]
        masks = found[number].masks
        assert isinstance(masks, BitmapMasks)
        bitmap[top:bottom, left:right] = masks.bitmaps[index - int(first[number])]
    return BitmapMasks(bitmaps)
