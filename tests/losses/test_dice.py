"""Dice loss on hand-written masks."""

from __future__ import annotations

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.losses.dice import DiceLoss


def test_values() -> None:
    target = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]).expand(3, 2, 2)
    predicted = torch.stack([target[0], 1 - target[0], torch.full((2, 2), 0.5)])
    # 2 * common / (squares of both): 4 / 4, 0 / 4, 2 / (1 + 2).
    loss = DiceLoss(eps=1e-9).per_example(predicted, target)
    torch.testing.assert_close(loss, torch.tensor([0.0, 1.0, 1 / 3]))


def test_empty_masks_have_a_finite_gradient() -> None:
    predicted = torch.zeros(2, 3, 3, requires_grad=True)
    DiceLoss().per_example(predicted, torch.zeros(2, 3, 3)).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    assert DiceLoss().per_example(torch.zeros(0, 3, 3), torch.zeros(0, 3, 3)).shape == (0,)


def test_eps_is_positive() -> None:
    with pytest.raises(ConfigError, match="eps"):
        DiceLoss(eps=0.0)
