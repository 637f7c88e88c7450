"""Non-maximum suppression within groups."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from detzoo.ops.boxes import elementwise_iou


def grouped_nms(boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float) -> Tensor:
    """Greedy NMS of boxes (K, 4) within each ``group`` (K,).

    Returns the indices of the kept boxes in descending order of score.
    """
    return batched_nms(boxes, scores, group, max_iou)


def grouped_fast_nms(
    boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, max_per_group: int
) -> Tensor:
    """Fast NMS (https://arxiv.org/abs/1904.02689) of the best ``max_per_group`` boxes (K, 4) of
    each ``group`` (K,).

    A box is dropped if its IoU with any higher-scored box exceeds ``max_iou``, even if that one is
    itself dropped. Returns the indices of the kept boxes in descending order of score.
    """
    if len(boxes) == 0:
        return group.new_zeros(0, dtype=torch.long)
    by_score = scores.argsort(descending=True, stable=True)
    order, member = _by_group(group[by_score])
    order = by_score[order[:, :max_per_group]]  # (G, M) indices into boxes
    grid = boxes[order]
    iou = elementwise_iou(grid[:, :, None], grid[:, None])  # (G, M, M)
    # Entries of a row beyond its members repeat a box, and come last.
    kept = member[:, :max_per_group] & (iou.triu(1).amax(1) <= max_iou)
    kept_index = order[kept]
    return kept_index[scores[kept_index].argsort(descending=True, stable=True)]


def grouped_soft_nms(
    boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, min_score: float
) -> tuple[Tensor, Tensor]:
    """Linear Soft-NMS (https://arxiv.org/abs/1704.04503) within each ``group`` (K,).

    Instead of removing a box whose IoU with a higher-scored box exceeds ``max_iou``, it multiplies
    its score by one minus the IoU; boxes whose score drops to ``min_score`` or below are removed.
    Returns the indices of the kept boxes and their new scores, in descending order.
    """

    return _decay_scores(boxes, scores, group, linear(max_iou), min_score)


def grouped_gaussian_soft_nms(
    boxes: Tensor, scores: Tensor, group: Tensor, sigma: float, min_score: float
) -> tuple[Tensor, Tensor]:
    """Gaussian Soft-NMS within each group: the same with the factor ``exp(-iou ** 2 / sigma)`` for
    any IoU.
    """

    return _decay_scores(boxes, scores, group, gaussian(sigma), min_score)


Decay = Callable[[Tensor], Tensor]


def linear(max_iou: float) -> Decay:
    """Linear decay of a score by an IoU (...): one minus the IoU above ``max_iou``."""
    return lambda overlap: torch.where(overlap > max_iou, 1 - overlap, 1.0)


def gaussian(sigma: float) -> Decay:
    """Gaussian decay of a score by an IoU (...)."""
    return lambda overlap: (-overlap.square() / sigma).exp()


def _decay_scores(
    boxes: Tensor,
    scores: Tensor,
    group: Tensor,
    decay: Decay,
    min_score: float,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS with any ``decay`` by the IoU; all groups are processed in parallel, one box per
    round.
    """
    if len(boxes) == 0:
        return group.new_zeros(0, dtype=torch.long), scores
    order, member = _by_group(group)  # (G, M) indices into boxes, and which entries are real
    grid_boxes = boxes[order]  # (G, M, 4)
    waiting = torch.where(member, scores[order], -1.0)
    final = torch.full_like(waiting, -1.0)
    for _ in range(order.shape[1]):
        best_score, best = waiting.max(1, keepdim=True)  # (G, 1)
        alive = best_score > min_score
        if not alive.any():
            break
        # In a finished group, ``best`` points at an arbitrary box, perhaps a kept one.
        final.scatter_(1, best, torch.where(alive, best_score, final.gather(1, best)))
        waiting.scatter_(1, best, -1.0)
        winner = grid_boxes.gather(1, best[..., None].expand(-1, -1, 4))  # (G, 1, 4)
        overlap = elementwise_iou(winner, grid_boxes)
        waiting = torch.where(waiting > 0, waiting * decay(overlap), waiting)
    kept = final > min_score
    kept_scores, ranking = final[kept].sort(descending=True, stable=True)
    return order[kept][ranking], kept_scores


def _by_group(group: Tensor) -> tuple[Tensor, Tensor]:
    """The members of each group as rows of a padded table (G, M), and a mask of the real ones."""
    _, dense, sizes = group.unique(return_inverse=True, return_counts=True)
    by_group = dense.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    column = torch.arange(int(sizes.max()), device=group.device)
    member = column < sizes[:, None]
    position = (starts[:, None] + column).clamp(max=len(group) - 1)
    return by_group[position], member


# ------------------------------------------------------------------------ with fixed shapes


@torch.library.custom_op("detzoo::nms_mask", mutates_args=())
def nms_mask(boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float) -> Tensor:
    """Which of the boxes (K, 4) greedy NMS keeps within each ``group`` (K,): (K,) bool.

    Boxes with a negative score are padding: they are not kept, and suppress nothing. This is a
    custom operator, so that exporters can replace it by the runtime's NMS.
    """
    is_kept = scores.new_zeros(len(scores), dtype=torch.bool)
    real = (scores >= 0).nonzero()[:, 0]
    is_kept[real[grouped_nms(boxes[real], scores[real], group[real], max_iou)]] = True
    return is_kept


@nms_mask.register_fake
def _(boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


# Odd, so that no box is kept that should not be.
ROUNDS = 127


@nms_mask.register_kernel("cuda")
def nms_mask_in_rounds(boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float) -> Tensor:
    """The same as :func:`nms_mask`, for GPUs: the host does not wait for the number of boxes, so
    that a CUDA graph can contain it.

    In each round, a box is kept if nothing better that was kept in the last one suppresses it. The
    first n boxes are right after n rounds; so are all, unless more than ``ROUNDS`` suppress each
    other in a chain, at whose end some are lost.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes, group, is_real = boxes[order], group[order], scores[order] >= 0
    suppresses = elementwise_iou(boxes[:, None], boxes) > max_iou  # (K, K): row i, column j
    suppresses &= (group[:, None] == group) & is_real[:, None]
    suppresses = suppresses.triu(1).half()
    is_kept = is_real
    for _ in range(ROUNDS):
        is_kept = is_real & (is_kept.half() @ suppresses == 0)
    return torch.zeros_like(is_kept).scatter(0, order, is_kept)


@torch.library.custom_op("detzoo::fast_nms_mask", mutates_args=())
def fast_nms_mask(
    boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, max_per_group: int
) -> Tensor:
    """Which of the boxes (K, 4) Fast NMS keeps within each ``group`` (K,): (K,) bool.

    Boxes with a negative score are padding. This is a custom operator, so that exporters can
    compare the best of each group alone, however many groups there are.
    """
    is_kept = scores.new_zeros(len(scores), dtype=torch.bool)
    real = (scores >= 0).nonzero()[:, 0]
    kept = grouped_fast_nms(boxes[real], scores[real], group[real], max_iou, max_per_group)
    is_kept[real[kept]] = True
    return is_kept


@fast_nms_mask.register_fake
def _(boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, max_per_group: int) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


@fast_nms_mask.register_kernel("cuda")
def fast_nms_mask_of_pairs(
    boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, max_per_group: int
) -> Tensor:
    """The same as :func:`fast_nms_mask`, for GPUs: all boxes are compared with all others, so that
    no shape depends on the groups."""
    order = scores.sort(descending=True).indices
    sorted_group, real = group[order], scores[order] >= 0
    is_better = (sorted_group[:, None] == sorted_group).triu(1) & real[:, None]
    iou = elementwise_iou(boxes[order][:, None], boxes[order])  # (K, K)
    is_kept = (iou.masked_fill(~is_better, 0.0).amax(0) <= max_iou) & real
    is_kept &= is_better.sum(0) < max_per_group
    return torch.zeros_like(is_kept).scatter(0, order, is_kept)


def best_by_decay(
    boxes: Tensor, scores: Tensor, group: Tensor, decay: Decay, min_score: float, count: int
) -> tuple[Tensor, Tensor]:
    """Soft-NMS for the ``count`` best boxes only: their indices and new scores, in descending
    order.

    If fewer remain above ``min_score``, the others have a score of -1.
    """
    waiting, kept, final = scores, [], []
    for _ in range(count):
        best_score, best = waiting.max(0, keepdim=True)  # (1,)
        kept.append(best)
        final.append(torch.where(best_score > min_score, best_score, -1.0))
        overlap = elementwise_iou(boxes[best], boxes) * (group[best] == group)
        factor = torch.where(group[best] == group, decay(overlap), 1.0)
        waiting = (waiting * factor).scatter(0, best, -1.0)
    return torch.cat(kept), torch.cat(final)
