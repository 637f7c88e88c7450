"""Assigners of dense heads, on hand-written boxes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.center_region import CenterRegionAssigner
from detzoo.assigners.fovea import FoveaAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.assigners.point import PointAssigner
from detzoo.assigners.size_range import SizeRangeAssigner
from detzoo.assigners.uniform import UniformAssigner
from detzoo.config import ConfigError
from detzoo.ops.boxes import pairwise_iou
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.points import PointGrid
from detzoo.structures import BACKGROUND, IGNORED, Priors, Targets

CPU = torch.device("cpu")
# 4 x 4 cells of 8 pixels, then 2 x 2 of 16: both levels cover 32 x 32 pixels.
GRIDS, STRIDES = ((4, 4), (2, 2)), (8, 16)
POINTS = PointGrid().place(GRIDS, STRIDES, CPU)
SQUARES = AnchorGrid(scales=(1.0,), ratios=(1.0,)).place(GRIDS, STRIDES, CPU)
ALL = torch.ones(20, dtype=torch.bool)


def targets(*boxes: tuple[float, float, float, float], labels: tuple[int, ...] = ()) -> Targets:
    given = labels or tuple(range(len(boxes)))
    return Targets.of(torch.tensor(boxes).float().reshape(-1, 4), torch.tensor(given).long())


def positives(index: Tensor) -> dict[int, int]:
    """Target by prior, of those that have one."""
    return {i: t for i, t in enumerate(index.tolist()) if t >= 0}


def cell(row: int, column: int) -> int:
    """The prior of a cell of the first level."""
    return 4 * row + column


ASSIGNERS: list[tuple[PriorAssigner, Priors]] = [
    (ATSSAssigner(), SQUARES),
    (FoveaAssigner(size_ranges=((1.0, 16.0), (8.0, 64.0))), POINTS),
    (MaxIoUAssigner(), SQUARES),
    (PointAssigner(), SQUARES),
    (SizeRangeAssigner(limits=(16.0,)), POINTS),
]


@pytest.mark.parametrize(("assigner", "priors"), ASSIGNERS)
def test_what_is_not_allowed_is_ignored(assigner: PriorAssigner, priors: Priors) -> None:
    allowed = ALL.clone()
    allowed[::2] = False
    for given in (targets(), targets((3, 3, 21, 21), (0, 0, 30, 30))):
        found = assigner.assign_priors(priors, given, allowed).target_index
        assert torch.equal(found == IGNORED, ~allowed)
        if len(given) == 0:
            assert (found[allowed] == BACKGROUND).all()


def test_points_take_the_smallest_target_of_their_level() -> None:
    # The first target is of the first level; the second, around it, of the second one.
    given = targets((4, 4, 13, 13), (0, 0, 32, 32))
    found = SizeRangeAssigner(limits=(16.0,)).assign_priors(POINTS, given, ALL).target_index
    # The points (12, 12) and (20, 20) of the first level are 20 pixels from a side of the second
    # target. On the second level the points are 24 pixels from it.
    assert positives(found) == {cell(1, 1): 0, **dict.fromkeys(range(16, 20), 1)}


def test_a_level_finds_sizes_up_to_its_limit_and_from_it() -> None:
    given = targets((4, 4, 20, 20))  # the point (12, 12) is 8 pixels from all sides
    of_both = SizeRangeAssigner(limits=(8.0,)).assign_priors(POINTS, given, ALL).target_index
    # (4, 4) and (4, 12), ... lie on its sides, and so outside; the point (8, 8) of the second
    # level is 12 pixels from its far sides.
    assert positives(of_both) == {cell(1, 1): 0, 16: 0}


def test_only_central_points() -> None:
    given = targets((0, 0, 32, 32))
    near = SizeRangeAssigner(limits=(100.0,), center_radius=1.0)
    found = near.assign_priors(POINTS, given, ALL).target_index
    middle = {cell(row, column): 0 for row in (1, 2) for column in (1, 2)}
    assert positives(found) == middle
    assert positives(
        SizeRangeAssigner(limits=())
        .assign_priors(PointGrid().place(GRIDS[:1], STRIDES[:1], CPU), given, ALL[:16])
        .target_index
    ) == dict.fromkeys(range(16), 0)


def test_fovea() -> None:
    # 24 pixels: of both levels. Its fovea is from 7.2 to 16.8 pixels.
    given = targets((0, 0, 24, 24))
    assigner = FoveaAssigner(size_ranges=((1.0, 30.0), (20.0, 64.0)), sigma=0.4)
    found = assigner.assign_priors(POINTS, given, ALL).target_index
    assert positives(found) == {cell(1, 1): 0, 16: 0}


def test_the_smaller_target_has_the_fovea() -> None:
    assigner = FoveaAssigner(size_ranges=((1.0, 64.0), (100.0, 200.0)), sigma=1.0)
    for order in (1, -1):
        boxes = [(0, 0, 32, 32), (8, 8, 16, 16)][::order]
        found = assigner.assign_priors(POINTS, targets(*boxes), ALL).target_index
        assert found[cell(1, 1)] == boxes.index((8, 8, 16, 16))
        assert len(positives(found)) == 16


def test_a_fovea_beyond_the_last_cell_is_in_the_last_cell() -> None:
    # The middle of the last column lies at 28 pixels, before the fovea.
    given = targets((28, 10, 32, 14))
    assigner = FoveaAssigner(size_ranges=((1.0, 64.0), (100.0, 200.0)), sigma=0.4)
    found = assigner.assign_priors(POINTS, given, ALL).target_index
    assert positives(found) == {cell(1, 3): 0}


def slow_atss(priors: Priors, given: Targets, count: int) -> list[int]:
    iou = pairwise_iou(priors.boxes, given.boxes)
    best = [(-1.0, BACKGROUND)] * len(priors)
    for number, box in enumerate(given.boxes.tolist()):
        center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        candidates, start = [], 0
        for size in priors.level_sizes:

            def distance(prior: int, center: tuple[float, float] = center) -> float:
                x1, y1, x2, y2 = priors.boxes[prior].tolist()
                return math.hypot((x1 + x2) / 2 - center[0], (y1 + y2) / 2 - center[1])

            candidates += sorted(range(start, start + size), key=distance)[:count]
            start += size
        values = iou[candidates, number]
        threshold = values.mean() + values.std()
        for prior in candidates:
            x1, y1, x2, y2 = priors.boxes[prior].tolist()
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
            overlap = iou[prior, number]
            if inside and overlap >= threshold and overlap > best[prior][0]:
                best[prior] = (float(overlap), number)
    return [number for _, number in best]


def test_atss_equals_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    priors = AnchorGrid(scales=(2.0,), ratios=(1.0,)).place(((8, 8), (4, 4)), STRIDES, CPU)
    corner = torch.rand((6, 2), generator=generator) * 40
    size = torch.rand((6, 2), generator=generator) * 30 + 5
    given = Targets.of(torch.cat([corner, corner + size], 1), torch.arange(6))
    found = ATSSAssigner(candidates_per_level=4).assign_priors(
        priors, given, torch.ones(80, dtype=torch.bool)
    )
    assert found.target_index.tolist() == slow_atss(priors, given, 4)
    assert found.is_positive.any()


def test_atss_where_a_level_has_fewer_priors_than_wanted() -> None:
    """Those that are not allowed must not count among the candidates."""
    given = targets((6, 6, 22, 22))
    allowed = ALL.clone()
    allowed[16:19] = False
    kept = Priors(SQUARES.boxes[allowed], SQUARES.stride[allowed], (16, 1), ((4, 4), (1, 1)))
    whole = ATSSAssigner().assign_priors(SQUARES, given, allowed).target_index[allowed]
    alone = ATSSAssigner().assign_priors(kept, given, ALL[:17]).target_index
    assert torch.equal(whole, alone)
    assert (whole >= 0).any()


def test_a_target_takes_the_points_of_its_level() -> None:
    # 64 pixels at scale 4 is stride 16; 32 pixels is stride 8. Centers: (16, 16) and (9, 9).
    given = targets((-16, -16, 48, 48), (-7, -7, 25, 25))
    found = PointAssigner().assign_priors(SQUARES, given, ALL).target_index
    assert positives(found) == {cell(1, 1): 1, 19: 0}
    # Too small and too large ones are of the outer levels.
    given = targets((8, 8, 9, 9), (-200, -200, 232, 232))
    found = PointAssigner().assign_priors(SQUARES, given, ALL).target_index
    assert positives(found) == {cell(1, 1): 0, 19: 1}


def test_a_point_goes_to_the_nearer_target() -> None:
    given = targets((-6, -6, 26, 26), (-7, -7, 25, 25))  # centers (10, 10) and (9, 9)
    found = PointAssigner(num_points=1).assign_priors(SQUARES, given, ALL).target_index
    assert positives(found) == {cell(1, 1): 1}


def test_the_middle_of_a_target() -> None:
    # Middle: from 6.4 to 9.6 pixels each way, around the corner (8, 8) of four cells; the squares
    # of the first level lie around such corners.
    given = targets((0, 0, 16, 16), labels=(2,))
    region = CenterRegionAssigner().assign_regions(SQUARES, given, ALL, 4)
    found = positives(region.assignment.target_index)
    assert cell(1, 1) in found
    # Squares of the second level are centered on (0, 0), (16, 0), ...: on the target's border.
    assert not set(found) & set(range(16, 20))
    spared = region.spared.any(1).nonzero()[:, 0].tolist()
    assert not set(spared) & set(found)
    assert region.spared[:, [0, 1, 3]].sum() == 0


def test_of_two_targets_in_one_middle_the_smaller_learns() -> None:
    given = targets((0, 0, 16, 16), (4, 4, 12, 12), labels=(2, 1))
    region = CenterRegionAssigner().assign_regions(SQUARES, given, ALL, 4)
    assert region.assignment.target_index[cell(1, 1)] == 1
    assert region.spared[cell(1, 1)].tolist() == [False, False, True, False]
    # Of the same class, the prior can be neither asked about it nor trained on it.
    given = targets((0, 0, 16, 16), (4, 4, 12, 12), labels=(2, 2))
    region = CenterRegionAssigner().assign_regions(SQUARES, given, ALL, 4)
    assert region.assignment.target_index[cell(1, 1)] == BACKGROUND
    assert region.spared[cell(1, 1)].tolist() == [False, False, True, False]


def test_no_regions() -> None:
    region = CenterRegionAssigner().assign_regions(SQUARES, targets(), ALL, 4)
    assert (region.assignment.target_index == BACKGROUND).all()
    assert region.spared.shape == (20, 4)
    assert not region.spared.any()


def test_as_many_priors_for_every_target() -> None:
    # Predictions are the squares themselves, but that of prior 0 is exactly on the second target.
    given = targets((4, 4, 12, 12), (16, 16, 32, 32))
    predicted = SQUARES.boxes.clone()
    predicted[0] = given.boxes[1]
    pairs = UniformAssigner(matches=1).assign_pairs(SQUARES.boxes, predicted, given, ALL)
    # By prediction, then by prior: target 0 both times finds cell (1, 1), target 1 prior 0 and the
    # square of 16 pixels around (16, 16).
    assert pairs.prior.tolist() == [cell(1, 1), 0, cell(1, 1), 19]
    assert pairs.target.tolist() == [0, 1, 0, 1]
    # Prior 0 itself is far from target 1; prior 19 overlaps it by 64 of 448 pixels.
    assert pairs.counts.tolist() == [True, False, True, False]
    index = pairs.assignment.target_index
    assert positives(index) == {cell(1, 1): 0}
    assert index[0] == IGNORED
    assert index[19] == IGNORED


def test_good_predictions_without_a_target_are_ignored() -> None:
    given = targets((4, 4, 12, 12))
    predicted = SQUARES.boxes.clone()
    predicted[7] = given.boxes[0] + 0.5
    pairs = UniformAssigner(matches=1).assign_pairs(SQUARES.boxes, predicted, given, ALL)
    assert pairs.assignment.target_index[7] == IGNORED
    assert (pairs.assignment.target_index == BACKGROUND).sum() == 18


def test_no_pairs() -> None:
    pairs = UniformAssigner().assign_pairs(SQUARES.boxes, SQUARES.boxes, targets(), ALL)
    assert len(pairs.prior) == len(pairs.target) == len(pairs.counts) == 0
    assert (pairs.assignment.target_index == BACKGROUND).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: SizeRangeAssigner(limits=(64.0, 32.0)), "limits"),
        (lambda: FoveaAssigner(sigma=0.0), "sigma"),
        (lambda: FoveaAssigner(size_ranges=((8.0, 4.0),)), "size_ranges"),
        (lambda: ATSSAssigner(candidates_per_level=0), "candidates_per_level"),
        (lambda: PointAssigner(num_points=0), "num_points"),
        (lambda: UniformAssigner(matches=0), "matches"),
        (lambda: CenterRegionAssigner(positive_scale=1.5), "positive_scale"),
    ],
)
def test_impossible_settings(wrong: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        wrong()  # type: ignore[operator]
