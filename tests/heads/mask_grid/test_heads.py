"""What SOLO's heads share, and what their masks are made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from detzoo.config import ConfigError
from detzoo.heads.mask_grid.base import MaskGridHead, MaskGridHeadConfig, coordinates
from detzoo.heads.mask_grid.decoupled import DecoupledSOLOHeadConfig, DecoupledSOLOLightHeadConfig
from detzoo.heads.mask_grid.solo import SOLOHead, SOLOHeadConfig
from detzoo.heads.mask_grid.solov2 import SOLOv2Head, SOLOv2HeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.structures import BitmapMasks, ImageInfo, ImageMasks, Targets

SMALL = {
    "num_convs": 1,
    "channels": 8,
    "grids": (4, 3, 2),
    "scale_ranges": ((1.0, 32.0), (16.0, 64.0), (32.0, 128.0)),
    "norm": GroupNormConfig(groups=2),
}
HEADS = (SOLOHeadConfig, DecoupledSOLOHeadConfig, DecoupledSOLOLightHeadConfig)
FEATURES = tuple(torch.randn(1, 8, 64 // s, 64 // s) for s in (4, 8, 16))


def build(kind: type[MaskGridHeadConfig]) -> MaskGridHead:
    torch.manual_seed(0)
    return kind(**SMALL).build((8,) * 3, (4, 8, 16), 2)


@pytest.mark.parametrize("kind", HEADS)
def test_levels(kind: type[MaskGridHeadConfig]) -> None:
    head = build(kind)
    assert head.strides == (8, 8, 8)  # the last is scaled up to the last but one
    predictions = head(FEATURES)
    assert [x.shape for x in predictions.cls_logits] == [(1, 2, g, g) for g in (4, 3, 2)]
    assert predictions.mask_sizes == [(16, 16)] * 3


@pytest.mark.parametrize("kind", HEADS)
def test_nothing_found(kind: type[MaskGridHeadConfig]) -> None:
    head = build(kind).eval()
    info = ImageInfo.of((64, 60))
    with torch.no_grad():
        (found,) = head.detect(head(FEATURES), [info])  # fresh heads give every class 0.01
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert isinstance(found.masks, ImageMasks)
    assert found.to_original(info).masks.bitmaps.shape == (0, 64, 60)


def test_a_cells_mask_is_that_of_its_kernel() -> None:
    head = build(SOLOHeadConfig)
    maps = head(FEATURES).mask_maps[1]
    every = head.conv_mask_list[1](maps)[0].sigmoid()
    cells = torch.tensor([5, 0])
    torch.testing.assert_close(head.masks(maps, 1, 0, cells, None), every[cells])
    larger = F.interpolate(every[None], (20, 24), mode="bilinear")[0]
    torch.testing.assert_close(head.masks(maps, 1, 0, cells, (20, 24)), larger[cells])


@pytest.mark.parametrize("kind", HEADS[1:])
def test_a_cells_mask_is_that_of_its_row_and_its_column(kind: type[MaskGridHeadConfig]) -> None:
    head = build(kind)
    maps = head(FEATURES).mask_maps[0]
    (mask,) = head.masks(maps, 0, 0, torch.tensor([4 * 2 + 3]), None)  # row 2, column 3
    torch.testing.assert_close(mask, maps.columns[0, 3].sigmoid() * maps.rows[0, 2].sigmoid())


def test_neighbors_with_a_better_score_win() -> None:
    head = build(SOLOHeadConfig)
    logits = torch.tensor([[[0.0, 1.0], [2.0, 1.5]]])
    scores = head._peaks(logits).view(2, 2)
    # 1.5 loses to 2.0 at its left; 2.0 is not compared with what comes after it.
    torch.testing.assert_close(
        scores, torch.tensor([[0.0, 1.0], [2.0, 0.0]]).sigmoid() * torch.tensor([[1, 1], [1, 0]])
    )


def test_coordinates() -> None:
    planes = coordinates(torch.zeros(2, 5, 3, 2))
    assert planes.shape == (2, 2, 3, 2)
    assert planes[0, 0].tolist() == [[-1, 1]] * 3
    assert planes[1, 1].tolist() == [[-1, -1], [0, 0], [1, 1]]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="scale_ranges: 3 ranges for 4 grids"):
        SOLOHeadConfig(**{**SMALL, "grids": (4, 3, 2, 1)})
    with pytest.raises(ConfigError, match="grids: 3 values for the neck's 2 maps"):
        SOLOHeadConfig(**SMALL).build((8, 8), (4, 8), 2)


def test_a_kernel_makes_the_mask_of_shared_features() -> None:
    settings = SMALL | {"grids": (4, 3, 2, 2), "scale_ranges": ((1.0, 99.0),) * 4}
    norm = settings["norm"]
    config = SOLOv2HeadConfig(**settings, mask_channels=4, kernel_channels=6, mask_norm=norm)
    head = config.build((8,) * 4, (4, 8, 16, 32), 2)
    predictions = head((*FEATURES, torch.randn(1, 8, 2, 2)))
    assert predictions.mask_sizes == [(16, 16)] * 4
    assert head.mask_strides == (4,) * 4
    maps = predictions.mask_maps[1]
    masks = head.masks(maps, 1, 0, torch.tensor([5, 0]), None)
    for mask, (row, column) in zip(masks, ((1, 2), (0, 0))):
        kernel = maps.kernels[0, :, row, column]
        wanted = F.conv2d(maps.features, kernel[None, :, None, None])[0, 0].sigmoid()
        torch.testing.assert_close(mask, wanted)


def test_the_masks_of_objects_that_claim_the_same_cells() -> None:
    """SOLOv2 learns both, SOLO the last one's."""
    objects, cells = torch.tensor([[[True]], [[True]]]), torch.tensor([[1]])
    targets = Targets.of(torch.zeros(2, 4), torch.zeros(2).long(), BitmapMasks(torch.ones(2, 4, 4)))
    assert SOLOv2Head._learned(SOLOv2Head, objects, cells, targets).flatten().tolist() == [1, 1]
    assert SOLOHead._learned(SOLOHead, objects, cells, targets).flatten().tolist() == [0, 1]
