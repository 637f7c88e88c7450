"""Double-Head R-CNN (https://arxiv.org/abs/1904.06493): fully connected layers for classes,
convolutions for boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.residual import BlockLayers, Bottleneck
from detzoo.config import Channels, PositiveFloat, PositiveInt, config
from detzoo.heads.roi.box_head import BoxPredictor, BoxPredictorConfig
from detzoo.heads.roi.extractor import PyramidRoIAlign, PyramidRoIAlignConfig
from detzoo.heads.roi.layers import hidden_layers
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.losses.boxes import BoxLoss, SmoothL1Loss
from detzoo.losses.classification import ClassificationLoss, SoftmaxCrossEntropy
from detzoo.losses.seesaw import SeesawLossConfig
from detzoo.ops.roi_align import pyramid_roi_align

# Ratio of outer to inner channels of a bottleneck.
EXPANSION = 4


@config
class DoublePoolingConfig(PyramidRoIAlignConfig):
    """RoI features, concatenated with those of an enlarged region around it.

    Both are extracted from the level that fits the smaller one.

    Args:
        enlargement: Ratio of the sides of the larger and the smaller region.
    """

    enlargement: PositiveFloat = 1.3

    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> DoublePooling:
        return DoublePooling(self, in_channels, strides)


class DoublePooling(PyramidRoIAlign):
    """Without parameters."""

    config: DoublePoolingConfig

    def __init__(
        self, config: DoublePoolingConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__(config, in_channels, strides)
        self.out_channels = 2 * in_channels[0]

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        pooled = [
            pyramid_roi_align(
                features[: self.config.num_levels],
                self.strides,
                enlarged(rois, factor),
                output_size=self.config.output_size,
                sampling_ratio=self.config.sampling_ratio,
                aligned=self.config.aligned,
                finest_scale=self.config.finest_scale * factor,
            )
            for factor in (1.0, self.config.enlargement)
        ]
        return torch.cat(pooled, 1)


def enlarged(rois: Tensor, factor: float) -> Tensor:
    """Enlarges RoIs (R, 5) around their centers by ``factor``."""
    image, low, high = rois.split([1, 2, 2], 1)
    center, half = (low + high) / 2, factor * (high - low) / 2
    return torch.cat([image, center - half, center + half], 1)


@config
class DoubleHeadConfig(BoxPredictorConfig):
    """Double-Head: classes from fully connected layers, boxes from convolutions.

    Args:
        num_convs: Number of bottlenecks.
        conv_channels: Output channels of each bottleneck.
        num_fcs: Number of fully connected layers.
        fc_channels: Output channels of each of them.
        norm: Norm after each convolution.
    """

    classification_loss: ClassificationLoss | SeesawLossConfig = SoftmaxCrossEntropy(weight=2.0)
    box_loss: BoxLoss = SmoothL1Loss(weight=2.0)
    num_convs: PositiveInt = 4
    conv_channels: Channels = 1024
    num_fcs: PositiveInt = 2
    fc_channels: Channels = 1024
    norm: NormConfig = BatchNormConfig()

    def build(self, in_channels: int, region_size: int, num_classes: int) -> DoubleHead:
        return DoubleHead(self, in_channels // 2, region_size, num_classes)


class DoubleHead(BoxPredictor):
    """Requires the features of :class:`DoublePooling`.

    Children ``res_block``, ``conv_branch``, ``fc_branch``, and those of the base class.
    """

    def __init__(
        self, config: DoubleHeadConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__(config, num_classes)
        wide, norm = config.conv_channels, config.norm
        self.res_block = WideningBlock(in_channels, wide, norm)
        self.conv_branch = nn.ModuleList(
            Bottleneck(wide, wide // EXPANSION, wide, layers=BlockLayers(norm=norm))
            for _ in range(config.num_convs)
        )
        inputs = in_channels * region_size**2
        self.fc_branch = hidden_layers(inputs, config.fc_channels, config.num_fcs)
        self.add_predictors(config.fc_channels, wide)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for_classes, for_boxes = x.chunk(2, 1)
        for_boxes = self.res_block(for_boxes)
        for block in self.conv_branch:
            for_boxes = block(for_boxes)
        for_classes = for_classes.flatten(1)
        for layer in self.fc_branch:
            for_classes = F.relu(layer(for_classes), inplace=True)
        return self.predict(for_classes, for_boxes.mean((2, 3)))


class WideningBlock(nn.Module):
    """A residual block of a 3x3 and a 1x1 convolution, with a 1x1 convolution as shortcut; children
    ``conv1``, ``conv2``, ``conv_identity``.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: NormConfig) -> None:
        super().__init__()
        self.conv1 = ConvModule(in_channels, in_channels, 3, padding=1, norm=norm)
        self.conv2 = ConvModule(in_channels, out_channels, 1, norm=norm)
        self.conv_identity = ConvModule(in_channels, out_channels, 1, norm=norm, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x), shortcut=self.conv_identity(x))
