"""Deformable RoI pooling (https://arxiv.org/abs/1703.06211)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.config import PositiveFloat, PositiveInt, config
from detzoo.heads.roi.base import RegionPooling, RegionPoolingConfig
from detzoo.ops.deform_roi_pool import deform_roi_pool
from detzoo.ops.roi_align import pyramid_pool, roi_align

HIDDEN_CHANNELS = 1024
SHIFT_SCALE = 0.1  # of the predicted shifts, as a fraction of the region


@config
class DeformablePoolingConfig(RegionPoolingConfig):
    """RoIAlign from the level that fits the region's size, applied twice: the first features
    predict shifts of the bins for the second.

    Args:
        num_levels: Number of maps, from the finest on.
        finest_scale: Regions up to twice this size in pixels come from the finest map.
        modulated: Whether each bin is also weighted (version 2, https://arxiv.org/abs/1811.11168).
    """

    num_levels: PositiveInt = 4
    finest_scale: PositiveFloat = 56.0
    modulated: bool = False

    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> DeformablePooling:
        return DeformablePooling(self, in_channels, strides)


class DeformablePooling(RegionPooling):
    """Children ``roi_layers``, one per level."""

    def __init__(
        self, config: DeformablePoolingConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.config = config
        self.out_channels = in_channels[0]
        self.roi_layers = nn.ModuleList(
            DeformableLayer(in_channels[0], config.output_size, stride, config.modulated)
            for stride in strides[: config.num_levels]
        )

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        def pool(level: int, rois: Tensor) -> Tensor:
            return self.roi_layers[level](features[level], rois)

        return pyramid_pool(len(self.roi_layers), rois, self.config.finest_scale, pool)


class DeformableLayer(nn.Module):
    """Child ``offset_fc``, which starts without shifts, and ``mask_fc`` if ``modulated``, which
    starts with halves."""

    def __init__(self, channels: int, output_size: int, stride: int, modulated: bool) -> None:
        super().__init__()
        self.output_size, self.stride = output_size, stride
        inputs, bins = channels * output_size**2, output_size**2
        self.offset_fc = nn.Sequential(
            nn.Linear(inputs, HIDDEN_CHANNELS),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN_CHANNELS, HIDDEN_CHANNELS),
            nn.ReLU(inplace=True),
            _silent(2 * bins),
        )
        self.mask_fc: nn.Module | None = None
        if modulated:
            self.mask_fc = nn.Sequential(
                nn.Linear(inputs, HIDDEN_CHANNELS),
                nn.ReLU(inplace=True),
                _silent(bins),
                nn.Sigmoid(),
            )

    def forward(self, feature: Tensor, rois: Tensor) -> Tensor:
        """RoIs (R, 5) -> (R, C, output_size, output_size)."""
        first = roi_align(feature, rois, self.output_size, self.stride).flatten(1)
        bins = (self.output_size, self.output_size)
        shifts = self.offset_fc(first).unflatten(1, (2, *bins))
        pooled = deform_roi_pool(feature, rois, SHIFT_SCALE * shifts, stride=self.stride)
        if self.mask_fc is None:
            return pooled
        return pooled * self.mask_fc(first).unflatten(1, (1, *bins))


def _silent(outputs: int) -> nn.Linear:
    """A last layer that starts at zero."""
    layer = nn.Linear(HIDDEN_CHANNELS, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
