"""RoI extraction from a pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import NonNegativeInt, PositiveFloat, PositiveInt, config
from detzoo.heads.roi.base import RegionPooling, RegionPoolingConfig
from detzoo.ops.roi_align import pyramid_roi_align


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


class PyramidRoIAlign(RegionPooling):
    """Without parameters."""

    def __init__(
        self, config: PyramidRoIAlignConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides[: config.num_levels])
        self.out_channels = in_channels[0]

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
