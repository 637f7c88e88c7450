from __future__ import annotations

import torch

from detzoo.assigners.approximate import ApproximateIoUAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.ops.boxes import pairwise_iou
from detzoo.priors.anchors import AnchorGrid, octave_scales
from detzoo.structures import BACKGROUND, IGNORED, Targets

GRIDS, STRIDES = ((8, 8), (4, 4)), (8, 16)
SQUARES = AnchorGrid(scales=(4.0,), ratios=(1.0,)).place(GRIDS, STRIDES, torch.device("cpu"))
SHAPES = AnchorGrid(scales=octave_scales(4.0, 3)).place(GRIDS, STRIDES, torch.device("cpu"))
MATCHING = MaxIoUAssigner(positive_iou=0.6, negative_iou=0.4, min_positive_iou=0.3)
ASSIGNER = ApproximateIoUAssigner(matching=MATCHING)
BOXES = torch.tensor([[3.0, 5.0, 50.0, 30.0], [20.0, 20.0, 60.0, 61.0]])
TARGETS = Targets.of(BOXES, torch.tensor([0, 1]))
ALL = torch.ones(len(SQUARES), dtype=torch.bool)


def test_a_square_overlaps_as_much_as_the_best_shape_around_it() -> None:
    found = ASSIGNER.assign_priors(SQUARES, TARGETS, ALL)
    best = torch.zeros(2, len(SQUARES))
    for square in range(len(SQUARES)):
        for shape in range(9):
            own = SHAPES.boxes[9 * square + shape]
            best[:, square] = torch.maximum(best[:, square], pairwise_iou(BOXES, own[None])[:, 0])
    torch.testing.assert_close(found.iou, best.amax(0))
    wanted, _ = MATCHING.match(best)
    assert torch.equal(found.target_index, wanted)
    assert {BACKGROUND, IGNORED, 0, 1} == set(found.target_index.tolist())


def test_squares_left_out_take_no_target() -> None:
    everywhere = ASSIGNER.assign_priors(SQUARES, TARGETS, ALL)
    best = int(torch.where(everywhere.target_index == 0, everywhere.iou, 0.0).argmax())
    allowed = ALL.clone()
    allowed[best] = False
    found = ASSIGNER.assign_priors(SQUARES, TARGETS, allowed)
    assert found.target_index[best] == IGNORED
    assert (found.target_index == 0).any()


def test_no_targets() -> None:
    none = Targets.of(torch.zeros(0, 4), torch.zeros(0).long())
    allowed = ALL.clone()
    allowed[3] = False
    found = ASSIGNER.assign_priors(SQUARES, none, allowed)
    assert found.target_index[3] == IGNORED
    assert (found.target_index[allowed] == BACKGROUND).all()
    assert (found.iou == 0).all()
