from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from detzoo.config import ConfigError
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpg import FPGConfig

NORM = BatchNormConfig(fixed_statistics=True)


def test_a_pathway_by_hand() -> None:
    torch.manual_seed(0)
    config = FPGConfig(out_channels=4, num_pathways=1, starts=(0, 0), norm=NORM)
    neck = config.build((3, 5), (8, 16)).eval()
    maps = (torch.randn(1, 3, 5, 6), torch.randn(1, 5, 3, 3))
    fine, coarse = (F.relu(conv(x)) for conv, x in zip(neck.lateral_convs, maps))
    fine_cell, coarse_cell = neck.fpn_transitions[0]
    grown = fine_cell.across_down["conv"](F.interpolate(coarse, (5, 6)))
    new_fine = fine_cell.across_lateral(fine) + grown + fine_cell.across_skip(fine)
    new_coarse = coarse_cell.same_up(F.relu(new_fine)) + coarse_cell.across_lateral(coarse)
    new_coarse = new_coarse + coarse_cell.across_skip(coarse)
    wanted = [
        output.conv_out(F.relu(x))
        for output, x in zip(neck.output_transition, (new_fine, new_coarse))
    ]
    for found, own in zip(neck(maps), wanted):
        torch.testing.assert_close(found, own)
    assert not hasattr(coarse_cell, "across_down")
    assert not hasattr(fine_cell, "same_up")


def test_levels_that_start_later_and_beyond_the_backbone() -> None:
    config = FPGConfig(
        out_channels=4, num_pathways=2, starts=(2, 1, 0), start_level=1, extra_convs=True, norm=NORM
    )
    neck = config.build((3, 5, 6), (4, 8, 16)).eval()
    assert neck.out_strides == (8, 16, 32)
    names = neck.state_dict()
    assert not any(
        name.startswith(("fpn_transitions.0.0.", "fpn_transitions.0.1.")) for name in names
    )
    assert "fpn_transitions.1.1.same_up.conv.weight" in names
    maps = (torch.randn(1, 3, 12, 12), torch.randn(1, 5, 6, 6), torch.randn(1, 6, 3, 3))
    out = neck(maps)
    assert [tuple(x.shape[2:]) for x in out] == [(6, 6), (3, 3), (2, 2)]
    # The finest level takes part in no pathway: its output is that of its own map.
    first = F.relu(neck.lateral_convs[0](maps[1]))
    torch.testing.assert_close(out[0], neck.output_transition[0](first))


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="begin after the last of 2 pathways"):
        FPGConfig(num_pathways=2, starts=(3, 0))
    with pytest.raises(ConfigError, match="2 levels, but the backbone has 3 maps"):
        FPGConfig(num_pathways=2, starts=(1, 0)).build((3, 4, 5), (4, 8, 16))
