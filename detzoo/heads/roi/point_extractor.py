"""RoI features sampled at points (PointRend, https://arxiv.org/abs/1912.08193)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.heads.roi.base import RegionPooling, RegionPoolingConfig
from detzoo.ops.points import cell_centers, sample_in_rois


@config
class PointSamplingConfig(RegionPoolingConfig):
    """Samples the finest map at the center of every cell of a region, for regions of all sizes."""

    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> PointSampling:
        return PointSampling(self, in_channels, strides)


class PointSampling(RegionPooling):
    """Without parameters."""

    def __init__(
        self, config: PointSamplingConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.output_size = config.output_size
        self.stride = strides[0]
        self.out_channels = in_channels[0]

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        points = cell_centers(self.output_size, rois.device).expand(len(rois), -1, -1)
        values = sample_in_rois(features[0], self.stride, rois, points)
        return values.unflatten(2, (self.output_size, self.output_size))
