"""SOLO: each cell has its own kernel for its mask (https://arxiv.org/abs/1912.04488)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import config
from detzoo.heads.mask_grid.base import (
    MaskGridHead,
    MaskGridHeadConfig,
    coordinates,
    initialize,
    tower,
)
from detzoo.layers.fusion import FusedConv2d, can_fuse, has_hooks
from detzoo.structures.image_masks import resize_maps


@config
class SOLOHeadConfig(MaskGridHeadConfig):
    """SOLO with one mask channel per cell."""

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> SOLOHead:
        return SOLOHead(self, in_channels, strides, num_classes)


class SOLOHead(MaskGridHead[Tensor]):
    """Children ``mask_convs`` and ``conv_mask_list``, with one layer per level and one kernel per
    cell."""

    def __init__(
        self,
        config: SOLOHeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, in_channels, strides, num_classes)
        self.mask_convs = tower(in_channels[0] + 2, config)
        self.conv_mask_list = nn.ModuleList(
            nn.Conv2d(config.channels, grid**2, 1) for grid in config.grids
        )
        initialize(self, [*self.conv_mask_list, self.conv_cls])

    def maps(self, x: Tensor, level: int) -> Tensor:
        """The features shared by all cells, at twice the resolution."""
        x = self.mask_convs(torch.cat([x, coordinates(x)], 1))
        return F.interpolate(x, scale_factor=2, mode="bilinear")

    def masks(
        self, maps: Tensor, level: int, image: int, cells: Tensor, size: tuple[int, int] | None
    ) -> Tensor:
        logits = _some_outputs(self.conv_mask_list[level], maps[image], cells)
        masks = logits.float().sigmoid()
        return masks if size is None else resize_maps(masks, size)


def _some_outputs(layer: nn.Module, x: Tensor, outputs: Tensor) -> Tensor:
    """Computes the output channels ``outputs`` (N,) of a 1x1 convolution of x (C, H, W) -> (N, H,
    W).
    """
    if not (can_fuse(layer) or (isinstance(layer, FusedConv2d) and not has_hooks(layer))):
        return layer(x[None])[0, outputs]
    assert layer.bias is not None
    kernels, bias = layer.weight[outputs].flatten(1), layer.bias[outputs]
    return F.linear(x.movedim(0, -1), kernels, bias).movedim(-1, 0)
