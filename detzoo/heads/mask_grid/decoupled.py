"""Decoupled SOLO: a mask is the product of a mask of its column and a mask of its row
(https://arxiv.org/abs/1912.04488)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import PositiveInt, config
from detzoo.heads.mask_grid.base import (
    MaskGridHead,
    MaskGridHeadConfig,
    coordinates,
    initialize,
    tower,
)
from detzoo.structures.image_masks import resize_maps


@dataclass(frozen=True)
class RowsAndColumns:
    """Mask logits (B, G, h, w) of a level's columns and rows."""

    columns: Tensor
    rows: Tensor


class ProductHead(MaskGridHead[RowsAndColumns]):
    """A cell's mask is the product of those of its column and row."""

    def masks(
        self,
        maps: RowsAndColumns,
        level: int,
        image: int,
        cells: Tensor,
        size: tuple[int, int] | None,
    ) -> Tensor:
        columns, rows = (x[image].float().sigmoid() for x in (maps.columns, maps.rows))
        if size is not None:
            columns, rows = resize_maps(columns, size), resize_maps(rows, size)
        grid = len(columns)
        return columns[cells % grid] * rows[cells // grid]


@config
class DecoupledSOLOHeadConfig(MaskGridHeadConfig):
    """Decoupled SOLO with separate towers for columns and rows."""

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DecoupledSOLOHead:
        return DecoupledSOLOHead(self, in_channels, strides, num_classes)


class DecoupledSOLOHead(ProductHead):
    """Children ``mask_convs_x``, ``mask_convs_y``, ``conv_mask_list_x``, ``conv_mask_list_y``."""

    def __init__(
        self,
        config: DecoupledSOLOHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, in_channels, strides, num_classes)
        self.mask_convs_x = tower(in_channels[0] + 1, config)
        self.mask_convs_y = tower(in_channels[0] + 1, config)
        self.conv_mask_list_x, self.conv_mask_list_y = _predictors(config), _predictors(config)
        initialize(self, [*self.conv_mask_list_x, *self.conv_mask_list_y, self.conv_cls])

    def maps(self, x: Tensor, level: int) -> RowsAndColumns:
        column, row = coordinates(x).split(1, 1)
        columns = _doubled(self.mask_convs_x(torch.cat([x, column], 1)))
        rows = _doubled(self.mask_convs_y(torch.cat([x, row], 1)))
        return RowsAndColumns(
            self.conv_mask_list_x[level](columns), self.conv_mask_list_y[level](rows)
        )


@config
class DecoupledSOLOLightHeadConfig(MaskGridHeadConfig):
    """Decoupled SOLO with one tower for columns and rows."""

    num_convs: PositiveInt = 4

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> DecoupledSOLOLightHead:
        return DecoupledSOLOLightHead(self, in_channels, strides, num_classes)


class DecoupledSOLOLightHead(ProductHead):
    """Children ``mask_convs``, ``conv_mask_list_x``, ``conv_mask_list_y``."""

    def __init__(
        self,
        config: DecoupledSOLOLightHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, in_channels, strides, num_classes)
        self.mask_convs = tower(in_channels[0] + 2, config)
        self.conv_mask_list_x, self.conv_mask_list_y = _predictors(config), _predictors(config)
        initialize(self, [*self.conv_mask_list_x, *self.conv_mask_list_y, self.conv_cls])

    def maps(self, x: Tensor, level: int) -> RowsAndColumns:
        x = _doubled(self.mask_convs(torch.cat([x, coordinates(x)], 1)))
        return RowsAndColumns(self.conv_mask_list_x[level](x), self.conv_mask_list_y[level](x))


def _predictors(config: MaskGridHeadConfig) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(config.channels, grid, 3, padding=1) for grid in config.grids)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
