from __future__ import annotations

import re

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.samplers.balanced import BalancedSampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import BACKGROUND, IGNORED, Assignment


def assignment(*parts: tuple[int, int, float]) -> Assignment:
    """Parts of so many boxes, each of a target (or BACKGROUND, IGNORED) and an IoU; shuffled."""
    index = torch.cat([torch.full((count,), target) for count, target, _ in parts])
    iou = torch.cat([torch.full((count,), value) for count, _, value in parts])
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))
    return Assignment(index[order], iou[order])


def drawn(sampler: BalancedSampler, given: Assignment) -> tuple[list[int], list[float]]:
    """Sorted targets of the positives and IoUs of the negatives."""
    sampling = sampler.sample(given)
    assert not (sampling.is_positive & ~given.is_positive).any()
    assert not (sampling.is_negative & ~given.is_background).any()
    targets = given.target_index[sampling.is_positive].sort().values
    return targets.tolist(), given.iou[sampling.is_negative].sort().values.tolist()


def test_positives_are_drawn_evenly_over_the_targets() -> None:
    given = assignment((40, 0, 0.9), (40, 5, 0.9), (2, 3, 0.9), (9, IGNORED, 0.4))
    # Nine places for three targets: up to four each, so two of the third and the rest at random.
    targets, negatives = drawn(BalancedSampler(num=9, positive_fraction=1.0), given)
    assert len(targets) == 9
    assert targets.count(3) == 2
    assert {targets.count(0), targets.count(5)} == {3, 4}
    assert negatives == []


def test_too_few_positives_are_all_drawn() -> None:
    given = assignment((3, 0, 0.9), (1, 1, 0.9), (5, BACKGROUND, 0.0))
    targets, negatives = drawn(BalancedSampler(num=12, positive_fraction=0.5), given)
    assert targets == [0, 0, 0, 1]
    assert len(negatives) == 5


def test_negatives_are_drawn_evenly_over_their_overlap() -> None:
    # The bins end at 0.3, 0.6 and 0.9, the best IoU of any box.
    given = assignment(
        (1, 0, 0.9), (90, BACKGROUND, 0.1), (20, BACKGROUND, 0.4), (2, BACKGROUND, 0.7)
    )
    sampler = BalancedSampler(num=13, positive_fraction=0.25)
    targets, negatives = drawn(sampler, given)
    assert targets == [0]
    # Twelve places, four for each bin; the third can fill two.
    low, middle, high = (sum(abs(x - v) < 1e-6 for x in negatives) for v in (0.1, 0.4, 0.7))
    assert high == 2
    assert low + middle == 10
    assert low >= 4
    assert middle >= 4


def test_draws_are_random() -> None:
    given = assignment((50, BACKGROUND, 0.1))
    sampler = BalancedSampler(num=10, positive_fraction=0.5)
    first, second = (sampler.sample(given).is_negative for _ in range(2))
    assert first.sum() == second.sum() == 10
    assert not torch.equal(first, second)


def test_no_boxes() -> None:
    empty = Assignment(torch.zeros(0).long(), torch.zeros(0))
    sampling = BalancedSampler(num=10, positive_fraction=0.5).sample(empty)
    assert sampling.is_positive.shape == sampling.is_negative.shape == (0,)


@pytest.mark.parametrize(("positives", "negatives"), [(0, 5), (1, 5), (4, 20), (30, 32)])
def test_negatives_by_the_number_of_positives(positives: int, negatives: int) -> None:
    given = assignment((positives, 0, 0.9), (100, BACKGROUND, 0.0))
    sampler = RandomSampler(num=64, positive_fraction=0.5, max_negatives_per_positive=5.0)
    if positives == 30:
        negatives = 64 - 30
    assert sampler.sample(given).is_negative.sum() == negatives


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=re.escape("num_iou_bins: 0 is not at least 1")):
        BalancedSampler(num=5, positive_fraction=0.5, num_iou_bins=0)
    with pytest.raises(ConfigError, match="max_negatives_per_positive: -1 is not at least 0"):
        RandomSampler(num=5, positive_fraction=0.5, max_negatives_per_positive=-1)


def test_one_side_alone() -> None:
    """The other side is drawn uniformly: from 90 boxes of one kind and 3 of another, mostly 90."""
    given = assignment((900, 0, 0.9), (3, 1, 0.9), (900, BACKGROUND, 0.1), (3, BACKGROUND, 0.8))
    settings = {"num": 12, "positive_fraction": 0.5}
    targets, negatives = drawn(BalancedSampler(**settings, balances_positives=False), given)
    assert targets.count(1) <= 2
    assert sum(iou > 0.5 for iou in negatives) >= 2  # a third of the places is theirs
    targets, negatives = drawn(BalancedSampler(**settings, num_iou_bins=1), given)
    assert targets.count(1) >= 2
    assert sum(iou > 0.5 for iou in negatives) <= 1
