from __future__ import annotations

import torch

from detzoo.assigners.region import RegionAssigner
from detzoo.priors.anchors import AnchorGrid
from detzoo.structures import BACKGROUND, IGNORED, Targets

# Priors of 32 and of 64 pixels.
PRIORS = AnchorGrid(scales=(8.0,), ratios=(1.0,)).place(
    ((8, 12), (4, 6)), (4, 8), torch.device("cpu")
)
ALLOWED = torch.ones(len(PRIORS), dtype=torch.bool)
FINE, COARSE = 8 * 12, 4 * 6


def assigned(*boxes: list[float], allowed: torch.Tensor = ALLOWED) -> tuple[torch.Tensor, ...]:
    """The target of each cell of both levels."""
    targets = Targets.of(torch.tensor(boxes).view(-1, 4), torch.zeros(len(boxes)).long())
    index = RegionAssigner().assign_priors(PRIORS, targets, allowed).target_index
    return index[:FINE].view(8, 12), index[FINE:].view(4, 6)


def test_cells_of_the_own_level_by_distance_from_the_center() -> None:
    # In cells of the fine level from 1 to 9: the center within .2 of its sides from 4.2 to 5.8, the
    # region within .5 from 3 to 7.
    fine, coarse = assigned([4.0, 4.0, 36.0, 36.0])
    wanted = torch.full((8, 12), BACKGROUND)
    wanted[3:8, 3:8] = IGNORED
    wanted[4:7, 4:7] = 0
    assert torch.equal(fine, wanted)
    assert (coarse == BACKGROUND).all()


def test_the_larger_belongs_to_the_coarser_level() -> None:
    fine, coarse = assigned([0.0, 0.0, 48.0, 48.0])
    assert (fine == BACKGROUND).all()
    assert (coarse == 0).any()


def test_the_last_of_overlapping_targets_determines_its_region() -> None:
    fine, _ = assigned([4.0, 4.0, 36.0, 36.0], [12.0, 4.0, 44.0, 36.0])
    # In cells: the second's region begins at 5, where the first's center had been.
    assert fine[5].tolist() == [-1, -1, -1, -2, 0, -2, 1, 1, 1, -2, -1, -1]


def test_without_targets_and_where_it_is_not_allowed() -> None:
    allowed = ALLOWED.clone()
    allowed[0] = False
    fine, _ = assigned(allowed=allowed)
    assert fine[0, 0] == IGNORED
    assert (fine.flatten()[1:] == BACKGROUND).all()
    fine, _ = assigned([4.0, 4.0, 36.0, 36.0], allowed=~ALLOWED)
    assert (fine == IGNORED).all()
