"""Features of regions, cut out of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.ops.roi_align import pyramid_roi_align


@config
class RoIExtractor:
    """RoIAlign (https://arxiv.org/abs/1703.06870) from the level that fits the region's size.

    Uses the first ``num_levels`` maps; a region up to twice ``finest_scale`` pixels comes from the
    first. ``sampling_ratio`` 0 takes as many samples as a bin has cells.
    """

    output_size: int = 7
    sampling_ratio: int = 0
    aligned: bool = True
    num_levels: int = 4
    finest_scale: float = 56.0

    def extract(self, features: Sequence[Tensor], strides: Sequence[int], rois: Tensor) -> Tensor:
        """RoIs (R, 5: image, x1, y1, x2, y2) -> (R, C, output_size, output_size)."""
        return pyramid_roi_align(
            features[: self.num_levels],
            strides[: self.num_levels],
            rois,
            output_size=self.output_size,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
            finest_scale=self.finest_scale,
        )
