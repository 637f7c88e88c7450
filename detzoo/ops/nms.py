"""Non-maximum suppression within groups."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from detzoo.ops.boxes import elementwise_iou


def grouped_nms(boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float) -> Tensor:
    """Greedy NMS of boxes (K, 4) within each ``group`` (K,).

    Returns the indices of the kept boxes, highest score first.
    """
    return batched_nms(boxes, scores, group, max_iou)


def grouped_fast_nms(
    boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, max_per_group: int
) -> Tensor:
    """Fast NMS (https://arxiv.org/abs/1904.02689) of the best ``max_per_group`` boxes (K, 4) of
    each ``group`` (K,).

    A box is dropped if it overlaps any better one by more than ``max_iou``, even one that is itself
    dropped. Returns the indices of the kept boxes, highest score first.
    """
    if len(boxes) == 0:
        return group.new_zeros(0, dtype=torch.long)
    by_score = scores.argsort(descending=True, stable=True)
    order, member = _by_group(group[by_score])
    order = by_score[order[:, :max_per_group]]  # (G, M) indices into boxes
    grid = boxes[order]
    iou = elementwise_iou(grid[:, :, None], grid[:, None])  # (G, M, M)
    # Rows of a table beyond its members repeat a box, and come last.
    kept = member[:, :max_per_group] & (iou.triu(1).amax(1) <= max_iou)
    kept_index = order[kept]
    return kept_index[scores[kept_index].argsort(descending=True, stable=True)]


def grouped_soft_nms(
    boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, min_score: float
) -> tuple[Tensor, Tensor]:
    """Linear Soft-NMS (https://arxiv.org/abs/1704.04503) within each ``group`` (K,).

    Instead of removing a box that overlaps a better one by more than ``max_iou``, it multiplies the
    box's score by one minus the IoU; boxes whose score falls to ``min_score`` or below are removed.
    Returns the indices of the kept boxes and their new scores, highest first.
    """

    def linear(overlap: Tensor) -> Tensor:
        return torch.where(overlap > max_iou, 1 - overlap, 1.0)

    return _decay_scores(boxes, scores, group, linear, min_score)


def grouped_gaussian_soft_nms(
    boxes: Tensor, scores: Tensor, group: Tensor, sigma: float, min_score: float
) -> tuple[Tensor, Tensor]:
    """The same with the factor ``exp(-iou ** 2 / sigma)``, whatever the IoU."""

    def gaussian(overlap: Tensor) -> Tensor:
        return (-overlap.square() / sigma).exp()

    return _decay_scores(boxes, scores, group, gaussian, min_score)


def _decay_scores(
    boxes: Tensor,
    scores: Tensor,
    group: Tensor,
    decay: Callable[[Tensor], Tensor],
    min_score: float,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS with any ``decay`` of the IoU; all groups advance together, one box each per
    round."""
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
