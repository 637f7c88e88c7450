"""Features of regions, cut out of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.heads.roi.base import RegionExtractor, RegionPooling
from detzoo.ops.roi_align import pyramid_roi_align


@config
class RoIExtractor(RegionExtractor):
    """RoIAlign (https://arxiv.org/abs/1703.06870) from the level that fits the region's size.

    Uses the first ``num_levels`` maps; a region up to twice ``finest_scale`` pixels comes from the
    first. ``sampling_ratio`` 0 takes as many samples as a bin has cells.
    """

    sampling_ratio: int = 0
    aligned: bool = True
    num_levels: int = 4
    finest_scale: float = 56.0

    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> PyramidRoIAlign:
        return PyramidRoIAlign(self, in_channels, strides)


class PyramidRoIAlign(RegionPooling):
    """Nothing learns."""

    def __init__(
        self, config: RoIExtractor, in_channels: Sequence[int], strides: Sequence[int]
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
