"""Which cells show an image, and where they say they are."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from detzoo.errors import ConfigError
from detzoo.layers.positional_encoding import LearnedPositions, SinePositions, ValidCells, sines
from detzoo.structures import ImageInfo


@pytest.mark.parametrize("grid", [(4, 5), (7, 3), (32, 48)])
def test_cells_are_those_that_nearest_resizing_keeps(grid: tuple[int, int]) -> None:
    sizes = [(100, 130), (61, 130), (100, 77), (1, 1)]
    infos = [ImageInfo.of(size) for size in sizes]
    padding = torch.ones(len(sizes), 100, 130)
    for image, (height, width) in zip(padding, sizes):
        image[:height, :width] = 0
    wanted = F.interpolate(padding[None], grid)[0] == 0
    valid = ValidCells.of(infos, (100, 130), grid, torch.device("cpu"))
    assert torch.equal(valid.mask(), wanted.flatten(1))
    assert not valid.complete
    assert ValidCells.of(infos[:1], (100, 130), grid, torch.device("cpu")).complete
    ratio = wanted[1, :, 0].float().mean()
    torch.testing.assert_close(valid.ratios[1], torch.stack([torch.tensor(1.0), ratio]))


def test_positions() -> None:
    valid = ValidCells.of([ImageInfo.of((2, 3))], (4, 4), (4, 4), torch.device("cpu"))
    found = SinePositions(offset=-0.5, temperature=100.0)(valid, 8).view(4, 4, 8)
    row, column = 1, 2
    wanted = []
    for place in ((row + 0.5) / 2, (column + 0.5) / 3):
        for frequency in (1.0, 100.0**0.5):
            angle = 2 * math.pi * place / frequency
            wanted += [math.sin(angle), math.cos(angle)]
    torch.testing.assert_close(found[row, column], torch.tensor(wanted), atol=1e-4, rtol=0)


def test_sines_of_any_shape() -> None:
    assert sines(torch.zeros(2, 3, 4), 6).shape == (2, 3, 4, 6)
    assert sines(torch.zeros(1), 4).tolist() == [[0, 1, 0, 1]]


def test_learned_positions() -> None:
    """As MMDetection: half of the channels are the column's, the other half the row's."""
    encoding = LearnedPositions(rows=3, columns=4).build(8)
    assert {name: tuple(p.shape) for name, p in encoding.named_parameters()} == {
        "row_embed.weight": (3, 4),
        "col_embed.weight": (4, 4),
    }
    found = encoding(ValidCells.all_of((2, 4), torch.device("cpu")))
    assert found.shape == (1, 8, 8)
    for row in range(2):
        for column in range(4):
            wanted = torch.cat([encoding.col_embed.weight[column], encoding.row_embed.weight[row]])
            assert torch.equal(found[0, 4 * row + column], wanted)
    with pytest.raises(ConfigError, match=r"a map has 4 x 4 cells .* learned for 3 x 4"):
        encoding(ValidCells.all_of((4, 4), torch.device("cpu")))
