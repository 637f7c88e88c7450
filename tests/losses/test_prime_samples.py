from __future__ import annotations

import torch

from detzoo.losses.prime_samples import (
    CertaintyWeight,
    Importance,
    local_importance,
    rank_within,
)
from detzoo.samplers.score_rank import ScoreRankSampler
from detzoo.structures import Assignment


def test_rank_within() -> None:
    values, group = torch.tensor([0.1, 0.9, 0.5, 0.7, 0.3]), torch.tensor([4, 2, 4, 4, 2])
    assert rank_within(values, group).tolist() == [2, 0, 1, 0, 1]
    assert rank_within(values[:0], group[:0]).tolist() == []


def test_the_best_of_every_object_come_first() -> None:
    """Class 1 has two objects, of which the second has only boxes that are worse than all of the
    first's: still, its best one is the second in the class."""
    quality = torch.tensor([0.9, 0.8, 0.7, 0.4, 0.3, 0.6, 0.95])
    labels = torch.tensor([1, 1, 1, 1, 1, 0, 3])
    owners = torch.tensor([0, 0, 0, 1, 1, 2, 0])
    is_positive = labels < 3
    importance = local_importance(quality, labels, owners, is_positive, num_classes=3)
    # Five in the largest class; the only one of class 0 counts fully.
    wanted = torch.tensor([5.0, 3, 1, 4, 2, 5]) / 5
    torch.testing.assert_close(importance[:-1], wanted)


def test_weights_keep_the_loss() -> None:
    importance, losses = torch.tensor([1.0, 0.5, 0.2, 0.9]), torch.tensor([2.0, 3.0, 1.0, 9.0])
    counts = torch.tensor([True, True, True, False])
    weights = Importance(exponent=2.0, bias=0.2).weights(importance, losses, counts)
    torch.testing.assert_close((weights * losses)[:3].sum(), losses[:3].sum())
    torch.testing.assert_close(weights[1] / weights[0], torch.tensor((0.2 + 0.8 * 0.5) ** 2))
    assert weights[3] == 1
    nothing = Importance().weights(importance, losses, torch.zeros(4, dtype=torch.bool))
    assert nothing.tolist() == [1] * 4


def test_certainty_has_gradients_and_mean_one() -> None:
    scores = torch.tensor([0.9, 0.1, 0.5], requires_grad=True)
    weights = CertaintyWeight().weights(scores, torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(weights.sum(), torch.tensor(2.0))
    assert weights[2] == 0
    (weights * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert scores.grad[0] < 0 < scores.grad[1]  # a bad box should be less certain


def test_backgrounds_are_sampled_by_rank() -> None:
    """The second box is matched by a better one; without more places it is left out."""
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [0, 0, 10, 11], [50, 0, 60, 10], [0, 0, 9, 9], [70, 0, 80, 9]]
    )
    scores = torch.tensor([0.9, 0.8, 0.3, 0.99, 0.01])
    assignment = Assignment(torch.tensor([-1, -1, -1, 0, -1]), torch.zeros(5))
    losses = torch.tensor([2.0, 1.0, 1.0, 9.0, 1.0])
    sampler = ScoreRankSampler(num=3, positive_fraction=0.25)
    sampling, weights = sampler.sample_ranked(assignment, scores, boxes, losses)
    assert sampling.is_positive.tolist() == [False] * 5
    assert sampling.is_negative.tolist() == [True, True, True, False, False]
    ranked = torch.tensor([3.0, 1.0, 2.0]).div(3).sqrt()
    torch.testing.assert_close(weights[:3] / weights[0], ranked / ranked[0])
    torch.testing.assert_close((weights * losses)[:3].sum(), losses[:3].sum())

    sampler = ScoreRankSampler(num=4, positive_fraction=0.25)
    sampling, weights = sampler.sample_ranked(assignment, scores, boxes, losses)
    assert sampling.is_positive.tolist() == [False, False, False, True, False]
    assert sampling.is_negative.tolist() == [True, True, True, False, False]
    sampling, weights = sampler.sample_ranked(assignment, scores * 0, boxes, losses)
    assert sampling.is_negative.sum() == 3
    assert weights.tolist() == [1] * 5
