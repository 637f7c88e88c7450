"""RoI extraction from a pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor

from detzoo.config import NonNegativeInt, PositiveFloat, PositiveInt, config
from detzoo.heads.roi.base import RegionPooling, RegionPoolingConfig
from detzoo.ops.roi_align import pyramid_pool, pyramid_roi_align


class PyramidPooling(RegionPooling):
    """Pools each region from one level."""

    def __init__(
        self,
        config: PyramidRoIAlignConfig | PyramidRoIPoolConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides[: config.num_levels])
        self.out_channels = in_channels[0]


@config
class PyramidRoIAlignConfig(RegionPoolingConfig):
    """RoIAlign (https://arxiv.org/abs/1703.06870) from the level that fits the region's size.

    Args:
        sampling_ratio: Samples per bin and axis; 0: adaptive, one per cell.
        aligned: Whether to shift by half a pixel, so that pixel centers have half-integer
            coordinates.
        num_levels: Number of levels, starting from the finest.
        finest_scale: Regions up to twice this size in pixels use the finest level.
    """

    sampling_ratio: NonNegativeInt = 0
    aligned: bool = True
    num_levels: PositiveInt = 4
    finest_scale: PositiveFloat = 56.0

    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> PyramidRoIAlign:
        return PyramidRoIAlign(self, in_channels, strides)


class PyramidRoIAlign(PyramidPooling):
    """Without parameters."""

    config: PyramidRoIAlignConfig

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        config = self.config
        return pyramid_roi_align(
            features[: config.num_levels],
            self.strides,
            rois,
            output_size=config.output_size,
            sampling_ratio=config.sampling_ratio,
            aligned=config.aligned,
            finest_scale=config.finest_scale,
        )


@config
class PyramidRoIPoolConfig(RegionPoolingConfig):
    """RoI max pooling (Fast R-CNN, https://arxiv.org/abs/1504.08083) from the level that fits the
    region's size. Regions are rounded to whole cells.

    Args:
        num_levels: Number of levels, starting from the finest.
        finest_scale: Regions up to twice this size in pixels use the finest level.
    """

    num_levels: PositiveInt = 4
    finest_scale: PositiveFloat = 56.0

    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> PyramidRoIPool:
        return PyramidRoIPool(self, in_channels, strides)


class PyramidRoIPool(PyramidPooling):
    """Without parameters."""

    config: PyramidRoIPoolConfig

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        config = self.config
        size = (config.output_size, config.output_size)

        def pool(level: int, rois: Tensor) -> Tensor:
            feature = features[level]
            # There is no kernel for bfloat16, and the greatest value is the same in any precision.
            wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
            pooled = torchvision.ops.roi_pool(wide, rois.to(wide), size, 1 / self.strides[level])
            return pooled.to(feature)

        return pyramid_pool(config.num_levels, rois, config.finest_scale, pool)
