"""Attention against torch's own; where deformable attention starts to look."""

from __future__ import annotations

import torch
from torch import nn

from detzoo.layers.attention import Attention, DeformableAttention, ResidualAttention


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(8, 2, 0.0), nn.MultiheadAttention(8, 2, batch_first=True)
    nn.init.normal_(ours.in_proj_bias)
    theirs.load_state_dict(ours.state_dict())
    queries, keys, values = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    key_mask = torch.tensor([[True] * 5, [True, True, False, True, False]])
    for mask in (None, key_mask):
        ignored = None if mask is None else ~mask
        wanted, _ = theirs(queries, keys, values, key_padding_mask=ignored, need_weights=False)
        torch.testing.assert_close(ours(queries, keys, values, mask), wanted)
    of_queries = torch.rand(2, 3, 5) > 0.5
    of_queries[..., 0] = True
    ignored = ~of_queries.repeat_interleave(2, 0)  # for each head
    wanted, _ = theirs(queries, keys, values, attn_mask=ignored, need_weights=False)
    torch.testing.assert_close(ours(queries, keys, values, of_queries), wanted)


def test_dropout_is_for_training() -> None:
    torch.manual_seed(0)
    layer = ResidualAttention(8, 2, dropout=0.5)
    x = torch.randn(1, 4, 8)
    assert not torch.equal(layer(x, x, x, x), layer(x, x, x, x))
    layer.eval()
    assert torch.equal(layer(x, x, x, x), layer(x, x, x, x))


def test_each_head_starts_in_a_direction_of_its_own() -> None:
    layer = DeformableAttention(8, num_heads=4, num_levels=2, num_points=3, dropout=0.0)
    offsets = layer.sampling_offsets.bias.view(4, 2, 3, 2)  # head, level, point, (x, y)
    right, down, left, up = offsets[:, 0, 0]
    torch.testing.assert_close(right, torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(down, torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(left + right + up + down, torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(offsets[:, 1, 2], 3 * offsets[:, 0, 0])


def test_offsets_are_in_cells_of_points_and_in_parts_of_boxes() -> None:
    """A quarter of the map to the right, said in both ways, is the same place."""
    layer = DeformableAttention(4, num_heads=1, num_levels=1, num_points=1, dropout=0.0)
    grids = ((1, 8),)
    memory = torch.randn(1, 8, 4)
    x = torch.zeros(1, 1, 4)
    nn.init.zeros_(layer.attention_weights.bias)
    point = torch.tensor([0.5, 0.5]).view(1, 1, 1, 2)
    box = torch.tensor([0.5, 0.5, 0.5, 1.0]).view(1, 1, 1, 4)
    layer.sampling_offsets.bias.data = torch.tensor([2.0, 0.0])  # cells
    from_point = layer(x, x, memory, grids, point, None)
    layer.sampling_offsets.bias.data = torch.tensor([1.0, 0.0])  # half boxes
    from_box = layer(x, x, memory, grids, box, None)
    torch.testing.assert_close(from_point, from_box)
    hidden = torch.ones(1, 8, dtype=torch.bool)
    hidden[0, 5:7] = False  # the two cells next to the place
    nothing = layer(x, x, memory, grids, box, hidden)
    torch.testing.assert_close(nothing, layer.output_proj.bias.view(1, 1, 4))
