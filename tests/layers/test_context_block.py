from __future__ import annotations

import torch
from torch import Tensor

from detzoo.layers.context_block import ContextBlock


def randomised(block: ContextBlock) -> ContextBlock:
    generator = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return block


def slow(block: ContextBlock, x: Tensor) -> Tensor:
    """Cell by cell, image by image."""
    out = x.clone()
    first, norm, _, last = block.channel_add_conv
    for n, image in enumerate(x):
        cells = image.flatten(1).T  # (H * W, C)
        scores = cells @ block.conv_mask.weight.flatten() + block.conv_mask.bias
        context = sum(weight * cell for weight, cell in zip(scores.softmax(0), cells))
        hidden = first.weight[:, :, 0, 0] @ context + first.bias
        hidden = (hidden - hidden.mean()) / (hidden.var(correction=0) + norm.eps).sqrt()
        hidden = (hidden * norm.weight.flatten() + norm.bias.flatten()).relu()
        added = last.weight[:, :, 0, 0] @ hidden + last.bias
        out[n] += added[:, None, None]
    return out


def test_equals_the_slow_one() -> None:
    block = randomised(ContextBlock(8, 0.5)).double()
    x = torch.randn(2, 8, 3, 5, dtype=torch.double)
    torch.testing.assert_close(block(x), slow(block, x))


def test_starts_as_the_identity() -> None:
    x = torch.randn(1, 16, 4, 4)
    assert torch.equal(ContextBlock(16, 1 / 16)(x), x)


def test_names_in_checkpoints() -> None:
    shapes = {n: tuple(t.shape) for n, t in ContextBlock(16, 1 / 4).state_dict().items()}
    assert shapes == {
        "conv_mask.weight": (1, 16, 1, 1),
        "conv_mask.bias": (1,),
        "channel_add_conv.0.weight": (4, 16, 1, 1),
        "channel_add_conv.0.bias": (4,),
        "channel_add_conv.1.weight": (4, 1, 1),
        "channel_add_conv.1.bias": (4, 1, 1),
        "channel_add_conv.3.weight": (16, 4, 1, 1),
        "channel_add_conv.3.bias": (16,),
    }
