"""Box heads whose classes and boxes have layers of their own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import ConfigError, NonNegativeInt, config
from detzoo.heads.roi.box_head import BoxHeadConfig, BoxPredictor
from detzoo.heads.roi.layers import hidden_layers
from detzoo.layers.conv_norm_act import ConvModule


@config
class BranchedBoxHeadConfig(BoxHeadConfig):
    """Shared layers, then a branch each for classes and boxes, then one layer each.

    Args:
        num_class_convs: Number of 3x3 convolutions of the classes.
        num_class_fcs: Number of fully connected layers of the classes.
        num_box_convs: Number of 3x3 convolutions of the boxes.
        num_box_fcs: Number of fully connected layers of the boxes.
        averages: Whether features are averaged over the region after the convolutions; otherwise
            the next layer sees every cell.
    """

    num_class_convs: NonNegativeInt = 0
    num_class_fcs: NonNegativeInt = 0
    num_box_convs: NonNegativeInt = 0
    num_box_fcs: NonNegativeInt = 0
    averages: bool = False

    def __post_init__(self) -> None:
        if self.num_shared_fcs and (self.num_class_convs or self.num_box_convs):
            raise ConfigError(
                "num_shared_fcs: convolutions of a branch cannot follow fully connected layers"
            )

    def build(  # its layers are others
        self, in_channels: int, region_size: int, num_classes: int
    ) -> BranchedBoxHead:
        return BranchedBoxHead(self, in_channels, region_size, num_classes)


class BranchedBoxHead(BoxPredictor):
    """Children ``shared_convs``, ``shared_fcs``, ``cls_convs``, ``cls_fcs``, ``reg_convs``,
    ``reg_fcs``, besides the base's."""

    config: BranchedBoxHeadConfig

    def __init__(
        self, config: BranchedBoxHeadConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__(config, num_classes)
        cells = 1 if config.averages else region_size**2
        self.shared_convs, channels = _convolutions(config, config.num_shared_convs, in_channels)
        self.shared_fcs, width = _layers(config, config.num_shared_fcs, channels * cells)
        self.cls_convs, class_width = _convolutions(config, config.num_class_convs, channels)
        self.reg_convs, box_width = _convolutions(config, config.num_box_convs, channels)
        if config.num_shared_fcs:
            class_width = box_width = width
        else:
            class_width, box_width = class_width * cells, box_width * cells
        self.cls_fcs, class_width = _layers(config, config.num_class_fcs, class_width)
        self.reg_fcs, box_width = _layers(config, config.num_box_fcs, box_width)
        self.add_predictors(
            class_width, box_width, normalized_classifier=config.normalized_classifier
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> class logits (R, K) and box deltas (R, num_classes or 1, 4)."""
        for conv in self.shared_convs:
            x = conv(x)
        if self.config.num_shared_fcs:
            x = _hidden(self.shared_fcs, self._vectors(x))
        return self.predict(
            self._branch(x, self.cls_convs, self.cls_fcs),
            self._branch(x, self.reg_convs, self.reg_fcs),
        )

    def _branch(self, x: Tensor, convs: nn.ModuleList, layers: nn.ModuleList) -> Tensor:
        """(R, C, h, w) or (R, D) -> (R, D')."""
        for conv in convs:
            x = conv(x)
        return _hidden(layers, self._vectors(x) if x.dim() == 4 else x)

    def _vectors(self, x: Tensor) -> Tensor:
        """(R, C, h, w) -> (R, C) or (R, C * h * w)."""
        return x.mean((2, 3)) if self.config.averages else x.flatten(1)


def _convolutions(
    config: BranchedBoxHeadConfig, count: int, in_channels: int
) -> tuple[nn.ModuleList, int]:
    """``count`` 3x3 convolutions, and the channels that come out."""
    channels = config.conv_channels if count else in_channels
    convs = nn.ModuleList(
        ConvModule(
            channels if i else in_channels,
            channels,
            3,
            padding=1,
            convolution=config.convolution,
            norm=config.norm,
        )
        for i in range(count)
    )
    return convs, channels


def _layers(config: BranchedBoxHeadConfig, count: int, width: int) -> tuple[nn.ModuleList, int]:
    """``count`` fully connected layers, and the length of the vectors that come out."""
    layers = hidden_layers(width, config.fc_channels, count)
    return layers, config.fc_channels if count else width


def _hidden(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = F.relu(layer(x), inplace=True)
    return x
