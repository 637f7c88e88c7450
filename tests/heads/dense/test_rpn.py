from __future__ import annotations

import torch

from detzoo.heads.dense.rpn import RPNHeadConfig


def test_hidden_layers() -> None:
    """One is published without a number, several with theirs."""
    one, two = (RPNHeadConfig(num_convs=n, channels=8).build((4,), (8,)) for n in (1, 2))
    assert "rpn_conv.weight" in one.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in two.state_dict().items()}
    assert shapes["rpn_conv.0.conv.weight"] == (8, 4, 3, 3)
    assert shapes["rpn_conv.1.conv.weight"] == (8, 8, 3, 3)
    x = torch.rand(1, 4, 6, 6)
    hidden = x
    for layer in two.rpn_conv:
        hidden = layer.conv(hidden).relu()
    logits, deltas = two.forward_level(x, 0)
    torch.testing.assert_close(logits, two.rpn_cls(hidden))
    torch.testing.assert_close(deltas, two.rpn_reg(hidden))
