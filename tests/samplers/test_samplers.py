from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from detzoo.config import ConfigError
from detzoo.samplers.ohem import OHEMSampler
from detzoo.samplers.random import RandomSampler
from detzoo.structures import BACKGROUND, IGNORED, Assignment


def assignment(positives: int, negatives: int, ignored: int = 0) -> Assignment:
    """Boxes in a fixed shuffled order."""
    index = torch.tensor([3] * positives + [BACKGROUND] * negatives + [IGNORED] * ignored)
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))
    return Assignment(index.long()[order], torch.zeros(len(index)))


@pytest.mark.parametrize(
    ("positives", "negatives", "drawn_positives", "drawn_negatives"),
    [
        (50, 50, 4, 12),  # the fraction limits the positives
        (2, 50, 2, 14),  # negatives fill up
        (50, 5, 4, 5),  # positives do not
        (0, 50, 0, 16),
        (50, 0, 4, 0),
        (3, 4, 3, 4),  # fewer boxes than may be drawn
        (0, 0, 0, 0),
    ],
)
@pytest.mark.parametrize("sampler", [RandomSampler, OHEMSampler])
def test_counts(
    sampler: type[RandomSampler] | type[OHEMSampler],
    positives: int,
    negatives: int,
    drawn_positives: int,
    drawn_negatives: int,
) -> None:
    given = assignment(positives, negatives, ignored=7)
    losses = torch.rand(len(given))
    sampling = sampler(num=16, positive_fraction=0.25).sample(given, losses)
    assert sampling.is_positive.sum() == drawn_positives
    assert sampling.is_negative.sum() == drawn_negatives
    assert not (sampling.is_positive & ~given.is_positive).any()
    assert not (sampling.is_negative & ~given.is_background).any()


def test_no_boxes() -> None:
    sampling = RandomSampler(num=16, positive_fraction=0.25).sample(assignment(0, 0))
    assert sampling.is_positive.shape == sampling.is_negative.shape == (0,)
    assert sampling.is_positive.dtype == torch.bool


def counts_of_draws(draws: int) -> tuple[Tensor, Tensor, Assignment]:
    torch.manual_seed(0)
    given = assignment(20, 40)
    sampler = RandomSampler(num=16, positive_fraction=0.25)
    positive, negative = torch.zeros(60), torch.zeros(60)
    for _ in range(draws):
        sampling = sampler.sample(given)
        positive += sampling.is_positive
        negative += sampling.is_negative
    return positive[given.is_positive], negative[given.is_background], given


def test_every_box_is_drawn_equally_often() -> None:
    """Chi-squared over 2000 draws, without replacement, so the variance is below the binomial's."""
    draws = 2000
    positive, negative, _ = counts_of_draws(draws)
    for counts, expected in ((positive, draws * 4 / 20), (negative, draws * 12 / 40)):
        degrees = len(counts) - 1
        statistic = ((counts - expected).square() / expected).sum().item()
        # Mean `degrees` times (1 - share drawn), deviation of about sqrt(2 * degrees).
        mean = degrees * (1 - expected / draws)
        assert abs(statistic - mean) < 4 * (2 * degrees) ** 0.5


def test_random_draws_differ_and_repeat_with_the_seed() -> None:
    given, sampler = assignment(20, 40), RandomSampler(num=16, positive_fraction=0.25)
    torch.manual_seed(1)
    first, second = sampler.sample(given), sampler.sample(given)
    torch.manual_seed(1)
    again = sampler.sample(given)
    assert not torch.equal(first.is_negative, second.is_negative)
    assert torch.equal(first.is_negative, again.is_negative)
    assert torch.equal(first.is_positive, again.is_positive)


def test_ohem_takes_the_hardest() -> None:
    index = torch.tensor([0, 0, 1, BACKGROUND, BACKGROUND, BACKGROUND, BACKGROUND, IGNORED])
    losses = torch.tensor([0.1, 0.9, 0.5, 0.2, 3.0, 0.0, 0.4, 9.0])
    sampler = OHEMSampler(num=5, positive_fraction=0.4)
    assert sampler.needs_losses
    sampling = sampler.sample(Assignment(index, torch.zeros(8)), losses)
    assert sampling.is_positive.nonzero()[:, 0].tolist() == [1, 2]
    assert sampling.is_negative.nonzero()[:, 0].tolist() == [3, 4, 6]


def test_ohem_draws_boxes_without_loss_when_there_are_no_others() -> None:
    """A sigmoid cross entropy of nearly nothing may round to less than nothing."""
    index = torch.full((3,), BACKGROUND)
    losses = torch.tensor([-1e-8, 0.0, 0.5])
    sampler = OHEMSampler(num=5, positive_fraction=0.4)
    sampling = sampler.sample(Assignment(index, torch.zeros(3)), losses)
    assert sampling.is_negative.all()


def test_random_sampling_asks_for_no_losses() -> None:
    assert not RandomSampler(num=5, positive_fraction=0.4).needs_losses


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num": 0, "positive_fraction": 0.5}, "num: 0 is not at least 1"),
        (
            {"num": 5, "positive_fraction": 1.5},
            "positive_fraction: 1.5 is not at most 1",
        ),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RandomSampler(**fields)
