from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detzoo.ops.nms import (
    ROUNDS,
    grouped_gaussian_soft_nms,
    grouped_nms,
    grouped_soft_nms,
    nms_mask,
    nms_mask_in_rounds,
)
from tests.ops import reference


def slow_nms(boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float) -> list[int]:
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        rivals = [k for k in kept if group[k] == group[i]]
        if all(reference.iou(boxes[k].tolist(), boxes[i].tolist()) <= max_iou for k in rivals):
            kept.append(i)
    return kept


def slow_soft_nms(
    boxes: Tensor, scores: Tensor, group: Tensor, max_iou: float, min_score: float
) -> list[tuple[int, float]]:
    kept = []
    for number in group.unique():
        waiting = {i: scores[i].item() for i in (group == number).nonzero()[:, 0].tolist()}
        while waiting:
            best = max(waiting, key=waiting.__getitem__)
            score = waiting.pop(best)
            if score <= min_score:
                break
            kept.append((best, score))
            for i in waiting:
                overlap = reference.iou(boxes[best].tolist(), boxes[i].tolist())
                if overlap > max_iou:
                    waiting[i] *= 1 - overlap
    return sorted(kept, key=lambda row: -row[1])


def test_gaussian_soft_nms_lowers_every_overlapping_score() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [20, 0, 30, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    kept, new_scores = grouped_gaussian_soft_nms(boxes, scores, torch.zeros(3).long(), 0.5, 0.001)
    assert kept.tolist() == [0, 2, 1]
    # exp(-0.6 ** 2 / 0.5)
    torch.testing.assert_close(new_scores, torch.tensor([0.9, 0.7, 0.8 * 0.486752]))
    apart, _ = grouped_gaussian_soft_nms(boxes, scores, torch.arange(3), 0.5, 0.001)
    assert apart.tolist() == [0, 1, 2]


def crowd(count: int, groups: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes that overlap much, with different scores, in groups of different size."""
    generator = torch.Generator().manual_seed(seed)
    boxes = reference.random_boxes(count, seed, size=70)
    scores = torch.rand(count, generator=generator)
    # The square makes low numbers frequent.
    group = (torch.rand(count, generator=generator).square() * groups).long()
    return boxes, scores, group


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("max_iou", [0.3, 0.7])
def test_nms_equals_the_loop(groups: int, max_iou: float) -> None:
    boxes, scores, group = crowd(60, groups, seed=4)
    wanted = slow_nms(boxes, scores, group, max_iou)
    assert 0 < len(wanted) < 60
    assert grouped_nms(boxes, scores, group, max_iou).tolist() == wanted


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("max_iou", [0.3, 0.7])
def test_a_gpu_keeps_the_same(groups: int, max_iou: float) -> None:
    """Padding is not kept, and suppresses nothing."""
    boxes, scores, group = crowd(300, groups, seed=4)
    scores[::3] = -1.0
    wanted = nms_mask(boxes, scores, group, max_iou)
    assert 0 < int(wanted.sum()) < 200
    assert torch.equal(nms_mask_in_rounds(boxes, scores, group, max_iou), wanted)


def test_a_gpu_keeps_the_same_along_a_chain() -> None:
    """Each box overlaps the next: every other one is kept, and none too many, however long."""
    start = torch.arange(ROUNDS + 41.0)
    boxes = torch.stack([start, start * 0, start + 2, start * 0 + 1], 1)
    scores, group = 1 - start / 1000, torch.zeros(len(start)).long()
    wanted = nms_mask(boxes, scores, group, 0.3)
    assert wanted.tolist() == [True, False] * (len(start) // 2)
    found = nms_mask_in_rounds(boxes, scores, group, 0.3)
    assert torch.equal(found[: ROUNDS + 1], wanted[: ROUNDS + 1])
    assert not (found & ~wanted).any()


@pytest.mark.parametrize("groups", [1, 4, 30])
@pytest.mark.parametrize(("max_iou", "min_score"), [(0.3, 0.001), (0.5, 0.2)])
def test_soft_nms_equals_the_loop(groups: int, max_iou: float, min_score: float) -> None:
    boxes, scores, group = crowd(60, groups, seed=5)
    wanted = slow_soft_nms(boxes, scores, group, max_iou, min_score)
    kept, new_scores = grouped_soft_nms(boxes, scores, group, max_iou, min_score)
    assert kept.tolist() == [index for index, _ in wanted]
    torch.testing.assert_close(new_scores, torch.tensor([score for _, score in wanted]))


def test_soft_nms_lowers_the_score_by_the_overlap() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 4]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    kept, new_scores = grouped_soft_nms(boxes, scores, torch.zeros(3).long(), 0.5, 0.001)
    # The second overlaps the first by 0.6. The third overlaps the first by 0.4, which is allowed,
    # and the second, whose turn comes last, no more.
    assert kept.tolist() == [0, 2, 1]
    # Third: 0.7. Second: 0.8 * (1 - 0.6), then lowered by the third, which overlaps it by 2/3.
    torch.testing.assert_close(new_scores, torch.tensor([0.9, 0.7, 0.32 / 3]))


def test_soft_nms_keeps_every_group_until_the_longest_is_through() -> None:
    boxes = torch.arange(4.0)[:, None] * 100 + torch.tensor([0.0, 0, 10, 10])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    kept, new_scores = grouped_soft_nms(boxes, scores, torch.tensor([0, 1, 1, 1]), 0.5, 0.001)
    assert kept.tolist() == [0, 1, 2, 3]
    assert torch.equal(new_scores, scores)


def test_nothing_to_suppress() -> None:
    boxes, scores, group = torch.zeros((0, 4)), torch.zeros(0), torch.zeros(0).long()
    assert grouped_nms(boxes, scores, group, 0.5).shape == (0,)
    kept, new_scores = grouped_soft_nms(boxes, scores, group, 0.5, 0.001)
    assert kept.shape == new_scores.shape == (0,)
    assert kept.dtype == torch.int64


def test_soft_nms_of_low_scores_alone_keeps_none() -> None:
    boxes, _, group = crowd(5, 2, seed=6)
    kept, new_scores = grouped_soft_nms(boxes, torch.full((5,), 1e-4), group, 0.5, 0.001)
    assert kept.shape == new_scores.shape == (0,)


def test_gpus_have_a_kernel_of_their_own() -> None:
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    assert has_kernel("detzoo::nms_mask", "CUDA")
    assert has_kernel("detzoo::fast_nms_mask", "CUDA")
