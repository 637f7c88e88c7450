"""YOLO's assigners."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from detzoo.assigners.grid import GridAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.assigners.sim_ota import SimOTAAssigner
from detzoo.priors.points import PointGrid
from detzoo.priors.yolo import YOLOAnchors
from detzoo.structures import BACKGROUND, IGNORED, Priors, Targets
from tests.ops import reference

CPU = torch.device("cpu")


def targets_of(*boxes: tuple[float, ...], labels: tuple[int, ...] | None = None) -> Targets:
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Targets.of(corners, torch.tensor(labels or [0] * len(boxes)))


def test_the_first_of_equal_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 4], [0, 0, 10, 4], [0, 0, 10, 4]])
    whole = targets_of((0, 0, 10, 10))
    all_of_them = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5)
    assert all_of_them.assign(boxes, whole).target_index.tolist() == [0, 0, 0]
    first = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, match_ties=False)
    assert first.assign(boxes, whole).target_index.tolist() == [0, BACKGROUND, BACKGROUND]


def grid() -> Priors:
    """Two cells of 16 pixels side by side, each with a small and a large anchor."""
    return YOLOAnchors(sizes=(((8, 8), (16, 16)),)).place(((1, 2),), (16,), CPU)


def test_only_the_cell_of_the_center_is_positive() -> None:
    # The whole left cell. Its large anchor fits exactly, its small one covers a quarter.
    index = GridAssigner().assign(grid(), targets_of((0, 0, 16, 16))).target_index
    assert index.tolist() == [BACKGROUND, 0, BACKGROUND, BACKGROUND]
    # The center is just in the left cell: the right one's large anchor, by nearly a half.
    index = (
        GridAssigner(negative_iou=0.3).assign(grid(), targets_of((7.9, 0, 23.9, 16))).target_index
    )
    assert index.tolist() == [BACKGROUND, 0, BACKGROUND, IGNORED]


def test_every_target_takes_its_best_anchor() -> None:
    # A thin object overlaps nothing by much.
    thin = targets_of((0, 0, 16, 1))
    assert GridAssigner().assign(grid(), thin).target_index.tolist() == [
        BACKGROUND,
        0,
        BACKGROUND,
        BACKGROUND,
    ]
    demanding = GridAssigner(min_positive_iou=0.5)
    assert (demanding.assign(grid(), thin).target_index == BACKGROUND).all()
    # The last target wins an anchor that several want.
    twice = targets_of((0, 0, 16, 16), (0, 0, 16, 15))
    assert GridAssigner().assign(grid(), twice).target_index[1] == 1


def test_grid_without_targets() -> None:
    assignment = GridAssigner().assign(grid(), targets_of())
    assert (assignment.target_index == BACKGROUND).all()


def slow_sim_ota(
    assigner: SimOTAAssigner, priors: Priors, scores: Tensor, boxes: Tensor, targets: Targets
) -> list[int]:
    """Target by target and prior by prior, in Python floats."""
    middles = (priors.boxes[:, :2] + priors.stride[:, None] / 2).tolist()
    considered, ideal = set(), set()
    for n, (x1, y1, x2, y2) in enumerate(targets.boxes.tolist()):
        for p, ((x, y), stride) in enumerate(zip(middles, priors.stride.tolist())):
            inside = x1 < x < x2 and y1 < y < y2
            reach = assigner.center_radius * stride
            near = abs(x - (x1 + x2) / 2) < reach and abs(y - (y1 + y2) / 2) < reach
            if inside or near:
                considered.add(p)
            if inside and near:
                ideal.add((p, n))
    cost: dict[tuple[int, int], float] = {}
    takers: dict[int, list[int]] = {}
    for n, (target, label) in enumerate(zip(targets.boxes.tolist(), targets.labels.tolist())):
        overlaps = {p: reference.iou(boxes[p].tolist(), target) for p in considered}
        for p in considered:
            entropy = 0.0
            for c, score in enumerate(scores[p].tolist()):
                root = math.sqrt(score)
                entropy -= math.log(root if c == label else 1 - root)
            cost[p, n] = entropy - 3 * math.log(overlaps[p] + 1e-7)
            cost[p, n] += 0 if (p, n) in ideal else 1e5
        best = sorted(overlaps.values(), reverse=True)[: assigner.num_candidates]
        count = max(int(sum(best)), 1)
        for p in sorted(considered, key=lambda p, n=n: cost[p, n])[:count]:
            takers.setdefault(p, []).append(n)
    index = [BACKGROUND] * len(priors)
    for p, wanting in takers.items():
        everyone = range(len(targets)) if len(wanting) > 1 else wanting
        index[p] = min(everyone, key=lambda n, p=p: cost[p, n])
    return index


def test_sim_ota_equals_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    priors = PointGrid(offset=0.0).place(((8, 8), (4, 4)), (8, 16), CPU)
    corners = reference.random_boxes(6, seed=1, size=60)
    targets = Targets.of(corners, torch.tensor([0, 1, 2, 0, 1, 2]))
    boxes = corners[torch.randint(6, (len(priors),), generator=generator)]
    boxes = boxes + 6 * torch.randn(boxes.shape, generator=generator)
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    scores = torch.rand((len(priors), 3), generator=generator).clamp(0.01, 0.99)
    assigner = SimOTAAssigner()
    assignment = assigner.assign(priors, scores, boxes, targets)
    wanted = slow_sim_ota(assigner, priors, scores, boxes, targets)
    assert assignment.target_index.tolist() == wanted
    assert 6 < sum(index >= 0 for index in wanted) < len(priors) / 2
    for p, n in enumerate(wanted):
        if n >= 0:
            overlap = reference.iou(boxes[p].tolist(), corners[n].tolist())
            # Single precision against double.
            assert assignment.iou[p].item() == pytest.approx(overlap, rel=1e-5)


def test_sim_ota_with_nothing_to_take() -> None:
    priors = PointGrid(offset=0.0).place(((2, 2),), (8,), CPU)
    scores, boxes = torch.full((4, 3), 0.5), torch.tensor([[0.0, 0, 8, 8]]).repeat(4, 1)
    none = SimOTAAssigner().assign(priors, scores, boxes, targets_of())
    far = SimOTAAssigner().assign(priors, scores, boxes, targets_of((500, 500, 510, 510)))
    for assignment in (none, far):
        assert (assignment.target_index == BACKGROUND).all()
