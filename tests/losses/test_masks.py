"""Losses of masks on hand-written numbers, and as costs of all pairs."""

from __future__ import annotations

import math

import pytest
import torch

from detzoo.losses.masks import MaskCrossEntropy, MaskDiceLoss, MaskFocalLoss, MaskLoss

# Four pixels of probability 0.8, 0.8, 0.2 and 0.5, in a mask of the first and the third.
LOGITS = torch.tensor([[math.log(4), math.log(4), -math.log(4), 0.0]])
TARGETS = torch.tensor([[1.0, 0.0, 1.0, 0.0]])


def test_cross_entropy() -> None:
    wanted = -(math.log(0.8) + math.log(0.2) + math.log(0.2) + math.log(0.5)) / 4
    found = MaskCrossEntropy(weight=5.0).weighted(LOGITS, TARGETS)
    torch.testing.assert_close(found, torch.tensor([5 * wanted]))
    # Sampled between pixels, targets are fractions.
    half = MaskCrossEntropy().per_example(torch.zeros(1, 4), torch.full((1, 4), 0.3))
    torch.testing.assert_close(half, torch.tensor([math.log(2)]))


def test_focal() -> None:
    inside = 0.25 * (0.2**2 * math.log(0.8) + 0.8**2 * math.log(0.2))
    outside = 0.75 * (0.8**2 * math.log(0.2) + 0.5**2 * math.log(0.5))
    found = MaskFocalLoss().per_example(LOGITS, TARGETS)
    torch.testing.assert_close(found, torch.tensor([-(inside + outside) / 4]))


def test_dice() -> None:
    found = MaskDiceLoss(eps=1.0).per_example(LOGITS, TARGETS)
    torch.testing.assert_close(found, torch.tensor([1 - (2 * (0.8 + 0.2) + 1) / (2.3 + 2 + 1)]))
    nothing = MaskDiceLoss().per_example(torch.full((1, 4), -100.0), torch.zeros(1, 4))
    assert nothing.item() == 0


@pytest.mark.parametrize("loss", [MaskCrossEntropy(weight=2.0), MaskFocalLoss(), MaskDiceLoss()])
def test_costs_are_the_losses_of_all_pairs(loss: MaskLoss) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, 7, generator=generator)
    targets = torch.rand(4, 7, generator=generator)
    costs = loss.cost(logits, targets)
    assert costs.shape == (5, 4)
    for query in range(5):
        pairs = loss.weighted(logits[query].expand(4, -1), targets)
        torch.testing.assert_close(costs[query], pairs)


def test_costs_of_certain_masks_are_finite() -> None:
    logits, targets = torch.tensor([[200.0, -200.0]]), torch.tensor([[0.0, 1.0]])
    # Each pixel costs no more than a probability of 1e-12 would.
    found = MaskFocalLoss().cost(logits, targets).item()
    assert found == pytest.approx((0.75 + 0.25) * -math.log(1e-12) / 2, rel=1e-4)
