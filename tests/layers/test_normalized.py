from __future__ import annotations

import torch
import torch.nn.functional as F

from detzoo.layers.normalized import NormalizedConv2d, NormalizedLinear


def test_logits_are_cosines_times_twenty() -> None:
    layer = NormalizedLinear(4, 3)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(5, 4)
    cosines = F.cosine_similarity(x[:, None], layer.weight[None], dim=2)
    torch.testing.assert_close(layer(x), 20 * cosines + layer.bias, rtol=1e-4, atol=1e-4)


def test_the_same_in_every_cell() -> None:
    conv, linear = NormalizedConv2d(4, 3), NormalizedLinear(4, 3)
    linear.load_state_dict({"weight": conv.weight[:, :, 0, 0], "bias": conv.bias})
    x = torch.randn(2, 4, 5, 6)
    wanted = linear(x.movedim(1, -1).reshape(-1, 4)).reshape(2, 5, 6, 3).movedim(-1, 1)
    torch.testing.assert_close(conv(x), wanted)


def test_a_vector_of_zeros_has_no_direction() -> None:
    layer = NormalizedLinear(4, 3)
    x = torch.zeros(1, 4, requires_grad=True)
    out = layer(x)
    torch.testing.assert_close(out[0], layer.bias)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
