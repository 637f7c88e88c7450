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

# A box within this distance of its tile's edge, in pixels, may continue beyond it.
_EDGE = 2.0
# Parts of one object have at least this IoU within the overlap of their tiles.
_AGREEMENT = 0.5

Tile = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive


def place_tiles(size: Size, tile: int, overlap: float) -> list[Tile]:
    """Returns square tiles that cover an image of ``size``, row by row.

    Neighbors overlap by at least the fraction ``overlap`` of a tile. The last ones end at the
    border.
    """
    height, width = size
    return [
        (left, top, min(left + tile, width), min(top + tile, height))
        for top in _starts(height, tile, overlap)
        for left in _starts(width, tile, overlap)
    ]


def fits_in_a_tile(boxes: Tensor, tiles: Sequence[Tile], size: Size) -> Tensor:
    """Which boxes (N, 4) of an image of ``size`` lie entirely in some tile -> (N,) bool."""
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
    """Merges detections of the tiles, each in its tile's pixels, into those of an image of
    ``size``.

    Boxes that end at a seam are parts of objects. Parts are dropped if they are mostly inside an
    object of their class that some tile contains entirely, or inside one that no tile contains but
    ``overview``, the detections in the whole image, does; only these objects of ``overview`` are
    used. Parts of a class that agree within the overlap of their tiles are merged into one object
    with their maximum score and all of their masks. Finally, NMS with ``max_iou`` is applied per
    class.
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

    # Objects: complete ones, then merged parts. ``owner`` (K,) of each kept detection.
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
    """Whether boxes (..., 4) end at an edge of their tile (..., 4) that is inside the image."""
    limit = boxes.new_tensor([size[1], size[0]])
    low = (boxes[..., :2] < edges[..., :2] + _EDGE) & (edges[..., :2] > 0)
    high = (boxes[..., 2:] > edges[..., 2:] - _EDGE) & (edges[..., 2:] < limit)
    return (low | high).any(-1)


def _agree(boxes: Tensor, edges: Tensor) -> Tensor:
    """Which boxes (N, 4) agree within the overlap of their tiles ``edges`` (N, 4) -> (N, N).

    Tiles and boxes are extended by a margin, so that tiles that only touch overlap, too.
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
    seen = intersection(boxes[:, None], common)  # (N, N): box i clipped to the tiles of i and j
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
    """Builds one mask per object from all its ``members``, indices into the joined ``looks``.

    Only those of kept objects are built, since full-size bitmaps are large.
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
