"""Large images in overlapping tiles, so that small objects keep their pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from detzoo.ops.boxes import intersection, pairwise_iof
from detzoo.ops.nms import grouped_nms
from detzoo.structures import BitmapMasks, Detections
from detzoo.structures.images import Size

# A box that comes so close to its tile's edge, in pixels, may go on beyond it.
_EDGE = 2.0
# Parts of one object have this IoU, or more, where both of their tiles see it.
_AGREEMENT = 0.5

Tile = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive


def place_tiles(size: Size, tile: int, overlap: float) -> list[Tile]:
    """Square tiles that cover an image of ``size``, row by row.

    Neighbors share at least the fraction ``overlap`` of a tile. The last ones end at the border.
    """
    height, width = size
    return [
        (left, top, min(left + tile, width), min(top + tile, height))
        for top in _starts(height, tile, overlap)
        for left in _starts(width, tile, overlap)
    ]


def fits_in_a_tile(boxes: Tensor, tiles: Sequence[Tile], size: Size) -> Tensor:
    """Which boxes (N, 4) of an image of ``size`` some tile sees whole -> (N,) bool."""
    edges = torch.tensor(tiles, dtype=torch.float32)
    inside = (boxes[:, None, :2] > edges[:, :2] - _EDGE) & (
        boxes[:, None, 2:] < edges[:, 2:] + _EDGE
    )
    return (inside.all(2) & ~_is_cut(boxes[:, None], edges, size)).any(1)


def merge_tiles(
    found: Sequence[Detections],
    tiles: Sequence[Tile],
    size: Size,
    overview: Detections | None = None,
    max_iou: float = 0.5,
) -> Detections:
    """Detections of the tiles, each in its tile's pixels -> of the image of ``size``.

    Boxes that end at a seam are parts. Parts go that lie for the most part in an object of their
    class that a tile sees whole. So do those in one that no tile sees whole and ``overview``, a
    look at the whole image, has found: of it, these objects alone count. Parts of a class that
    agree where their tiles overlap become one object, with the best of their scores and all of
    their masks. Then, per class, boxes go that overlap a better one by more than ``max_iou``.
    """
    looks, windows = list(found), list(tiles)
    if overview is not None:
        looks.append(overview)
        windows.append((0, 0, size[1], size[0]))
    look = torch.arange(len(looks)).repeat_interleave(torch.tensor([len(one) for one in looks]))
    edges = torch.tensor(windows, dtype=torch.float32)[look]  # of each detection's window
    boxes = torch.cat([one.boxes for one in looks]) + edges[:, :2].repeat(1, 2)
    scores = torch.cat([one.scores for one in looks])
    labels = torch.cat([one.labels for one in looks])

    is_part = _is_cut(boxes, edges, size)
    is_of_tile = look < len(tiles)
    is_large = ~is_of_tile & ~fits_in_a_tile(boxes, tiles, size)
    whole = ((is_of_tile & ~is_part) | is_large).nonzero()[:, 0]
    parts = is_part.nonzero()[:, 0]
    inside = pairwise_iof(boxes[parts], boxes[whole]) > 0.5
    parts = parts[~(inside & (labels[parts][:, None] == labels[whole])).any(1)]

    # The objects: those that are whole, then those of parts. ``owner`` (K,) of each kept detection.
    is_same = labels[parts][:, None] == labels[parts]
    is_one = _agree(boxes[parts], edges[parts]) & is_same
    num_joined, groups = connected_components(is_one.numpy(), directed=False)
    owner = torch.cat([torch.arange(len(whole)), len(whole) + torch.from_numpy(groups).long()])
    kept = torch.cat([whole, parts])
    count = len(whole) + num_joined

    def of_objects(values: Tensor, how: str) -> Tensor:
        start = values.new_zeros((count, *values.shape[1:]))
        index = owner.view(-1, *[1] * (values.ndim - 1)).expand_as(values)
        return start.scatter_reduce(0, index, values, how, include_self=False)

    around = torch.cat(
        [of_objects(boxes[kept, :2], "amin"), of_objects(boxes[kept, 2:], "amax")], 1
    )
    best, label = of_objects(scores[kept], "amax"), of_objects(labels[kept], "amax")
    objects = grouped_nms(around, best, label, max_iou)
    masks = None
    if any(isinstance(one.masks, BitmapMasks) for one in looks):
        members = [kept[owner == k] for k in objects]
        masks = _place_masks(looks, windows, members, size)
    mask_scores = None
    if all(one.mask_scores is not None for one in looks):
        rated = torch.cat([one.mask_scores for one in looks if one.mask_scores is not None])
        mask_scores = of_objects(rated[kept], "amax")[objects]
    return Detections(around[objects], best[objects], label[objects], masks, mask_scores)


def _is_cut(boxes: Tensor, edges: Tensor, size: Size) -> Tensor:
    """Whether boxes (..., 4) end at an edge of their tile (..., 4) that is not one of the image."""
    limit = boxes.new_tensor([size[1], size[0]])
    low = (boxes[..., :2] < edges[..., :2] + _EDGE) & (edges[..., :2] > 0)
    high = (boxes[..., 2:] > edges[..., 2:] - _EDGE) & (edges[..., 2:] < limit)
    return (low | high).any(-1)


def _agree(boxes: Tensor, edges: Tensor) -> Tensor:
    """Which of boxes (N, 4) are the same where their tiles ``edges`` (N, 4) overlap -> (N, N).

    Tiles that only touch overlap by a margin, into which their boxes go on.
    """
    margin = torch.tensor([-_EDGE, -_EDGE, _EDGE, _EDGE])
    boxes, edges = boxes + margin, edges + margin
    common = torch.cat(
        [
            torch.maximum(edges[:, None, :2], edges[:, :2]),
            torch.minimum(edges[:, None, 2:], edges[:, 2:]),
        ],
        2,
    )
    seen = intersection(boxes[:, None], common)  # (N, N) of box i by the tiles of i and j
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    both = intersection(torch.cat([low, torch.maximum(low, high)], 2), common)
    return both > _AGREEMENT * (seen + seen.T - both)


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    if length <= tile:
        return [0]
    stride = max(1, int(tile * (1 - overlap)))
    return [*range(0, length - tile, stride), length - tile]


def _place_masks(
    looks: Sequence[Detections],
    windows: Sequence[Tile],
    members: Sequence[Tensor],
    size: Size,
) -> BitmapMasks:
    """One mask for each object, of all its ``members``, which count through the ``looks``.

    Only those that are kept, since full-size bitmaps are large.
    """
    bitmaps = torch.zeros((len(members), *size), dtype=torch.uint8)
    place = [(k, row) for k, one in enumerate(looks) for row in range(len(one))]
    for bitmap, own in zip(bitmaps, members):
        for k, row in (place[m] for m in own.tolist()):
            left, top, right, bottom = windows[k]
            masks = looks[k].masks
            assert isinstance(masks, BitmapMasks)
            bitmap[top:bottom, left:right] |= masks.bitmaps[row]
    return BitmapMasks(bitmaps)
