from __future__ import annotations

import pytest
import torch

from detzoo.heads.dense import vfnet
from detzoo.heads.dense.vfnet import VFNetHeadConfig, star


def test_a_star_is_nine_points_of_the_box() -> None:
    distances = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)  # left, top, right, bottom
    points = star(distances).view(9, 2).tolist()  # of (y, x)
    assert points == [[y, x] for y in (-2, 0, 4) for x in (-1, 0, 3)]


def test_the_first_boxes_of_a_fresh_head_are_sixteen_strides_wide() -> None:
    """And the second ones are the same."""
    torch.manual_seed(0)
    head = VFNetHeadConfig(num_convs=1, channels=32).build((8, 8), (8, 16), 3)
    for layer in (head.vfnet_reg, head.vfnet_reg_refine):
        torch.nn.init.zeros_(layer.weight)
    predictions = head((torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)))
    first, second = predictions.box_deltas.chunk(2, -1)
    wanted = 8 * predictions.priors.stride[:, None].expand(-1, 4)
    torch.testing.assert_close(first[0], wanted)
    torch.testing.assert_close(second, first)


def test_a_tenth_of_the_gradient_reaches_the_first_boxes_through_the_star(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gradients = []
    for part in (0.1, 1.0):
        monkeypatch.setattr(vfnet, "STAR_GRADIENT", part)
        torch.manual_seed(0)
        head = VFNetHeadConfig(num_convs=1, channels=32).build((8,), (8,), 3)
        predictions = head((torch.randn(1, 8, 24, 24),))
        predictions.cls_logits.sum().backward()
        gradients.append(head.vfnet_reg.weight.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(10 * gradients[0], gradients[1], rtol=1e-3, atol=1e-4)
