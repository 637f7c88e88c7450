from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.task_aligned import TaskAlignedAssigner
from detzoo.structures import BACKGROUND, IGNORED, Priors, Targets

TARGETS = Targets.of(torch.tensor([[0.0, 0, 40, 40], [20, 0, 80, 40]]), torch.tensor([1, 0]))


def priors(centers: list[float]) -> Priors:
    x = torch.tensor(centers)
    boxes = torch.stack([x - 8, torch.full_like(x, 12.0), x + 8, torch.full_like(x, 28.0)], 1)
    count = len(centers)
    return Priors(boxes, torch.full((count,), 8.0), (count,), ((1, count),))


def assign(scores: Tensor, boxes: Tensor, centers: list[float], **settings: float) -> tuple:
    assigner = TaskAlignedAssigner(**settings)
    allowed = torch.ones(len(centers), dtype=torch.bool)
    return assigner.assign(priors(centers), scores, boxes, TARGETS, allowed)


def test_the_best_of_a_target_get_it() -> None:
    """Class and place both count, and the center of the prior must lie within the target."""
    centers = [10.0, 15, 16, 90, 70]
    first, second = TARGETS.boxes
    boxes = torch.stack([first, first + 4, first, second, second])
    scores = torch.tensor([[0.0, 0.5], [0, 0.9], [0, 0.05], [0.9, 0], [0.6, 0]])
    assignment, alignment = assign(scores, boxes, centers, num_candidates=2)
    assert assignment.target_index.tolist() == [0, 0, BACKGROUND, BACKGROUND, 1]
    iou = 36 * 36 / (2 * 40 * 40 - 36 * 36)
    torch.testing.assert_close(assignment.iou[:2], torch.tensor([1.0, iou]))
    # The best one's alignment is the best IoU; the others' in proportion to how they fit.
    torch.testing.assert_close(alignment[0], torch.tensor(1.0))
    torch.testing.assert_close(alignment[1], torch.tensor(0.9 * iou**6 / 0.5))
    assert alignment[[2, 3]].tolist() == [0, 0]


def test_a_prior_of_two_targets_goes_to_the_one_it_overlaps_most() -> None:
    boxes = torch.tensor([[0.0, 0, 44, 40], [24.0, 0, 80, 40]])
    scores = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    assignment, _ = assign(scores, boxes, [30.0, 30.0])
    assert assignment.target_index.tolist() == [0, 1]


def test_priors_that_are_not_allowed_and_images_without_targets() -> None:
    boxes, scores = TARGETS.boxes, torch.full((2, 2), 0.5)
    allowed = torch.tensor([False, True])
    assigner, places = TaskAlignedAssigner(), priors([10.0, 60.0])
    assignment, alignment = assigner.assign(places, scores, boxes, TARGETS, allowed)
    assert assignment.target_index.tolist() == [IGNORED, 1]
    assert alignment[0] == 0
    nothing, alignment = assigner.assign(places, scores, boxes, TARGETS[:0], allowed)
    assert nothing.target_index.tolist() == [IGNORED, BACKGROUND]
    assert alignment.tolist() == [0, 0]
