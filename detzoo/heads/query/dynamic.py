"""Queries that interact with their regions by dynamic convolution (Sparse R-CNN,
https://arxiv.org/abs/2011.12450, QueryInst, https://arxiv.org/abs/2105.01928)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, PositiveInt, UnitFloat, config
from detzoo.heads.roi.mask_head import Deconvolution
from detzoo.layers.attention import FeedForward, ResidualAttention
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.losses.dice import DiceLoss

# Initial score of all classes: objects are rare.
PRIOR_PROBABILITY = 0.01


class DynamicConv(nn.Module):
    """Two 1x1 convolutions per region, with kernels predicted from the region's query.

    Children ``dynamic_layer``, ``norm_in``, ``norm_out``. With a ``region_size``, the region is
    then projected to a single vector: ``fc_layer``, ``fc_norm``.
    """

    def __init__(self, channels: int, hidden: int, region_size: int | None = None) -> None:
        super().__init__()
        self.shapes = ((channels, hidden), (hidden, channels))
        self.dynamic_layer = nn.Linear(channels, 2 * channels * hidden)
        self.norm_in = nn.LayerNorm(hidden)
        self.norm_out = nn.LayerNorm(channels)
        self.becomes_vector = region_size is not None
        if region_size is not None:
            self.fc_layer = nn.Linear(channels * region_size**2, channels)
            self.fc_norm = nn.LayerNorm(channels)

    def forward(self, queries: Tensor, regions: Tensor) -> Tensor:
        """Queries (R, C), regions (R, C, h, w) -> (R, C), or (R, h * w, C)."""
        first, second = (
            kernel.unflatten(1, shape)
            for kernel, shape in zip(self.dynamic_layer(queries).chunk(2, 1), self.shapes)
        )
        x = regions.flatten(2).transpose(1, 2)
        x = F.relu(self.norm_in(x @ first), inplace=True)
        x = F.relu(self.norm_out(x @ second), inplace=True)
        if not self.becomes_vector:
            return x
        return F.relu(self.fc_norm(self.fc_layer(x.flatten(1))), inplace=True)


@config
class InteractionHeadConfig:
    """Self-attention of queries, dynamic convolution of their regions, then layers for classes and
    boxes.

    Args:
        num_heads: Number of attention heads.
        dynamic_channels: Hidden channels of the dynamic convolutions.
        feedforward_channels: Hidden channels of the feed-forward layer.
        class_layers: Number of fully connected layers before the class logits.
        box_layers: Number of fully connected layers before the box deltas.
    """

    num_heads: PositiveInt = 8
    dynamic_channels: Channels = 64
    feedforward_channels: Channels = 2048
    class_layers: NonNegativeInt = 1
    box_layers: NonNegativeInt = 3

    def build(self, channels: int, region_size: int, num_outputs: int) -> InteractionHead:
        """Builds the module for regions (channels, region_size, region_size) and ``num_outputs``
        logits."""
        return InteractionHead(self, channels, region_size, num_outputs)


class InteractionHead(nn.Module):
    """Children ``attention``, ``instance_interactive_conv`` and ``ffn``, each with a norm;
    ``cls_fcs``, ``fc_cls``, ``reg_fcs``, ``fc_reg``."""

    def __init__(
        self, config: InteractionHeadConfig, channels: int, region_size: int, num_outputs: int
    ) -> None:
        super().__init__()
        self.attention = ResidualAttention(channels, config.num_heads, dropout=0.0)
        self.attention_norm = nn.LayerNorm(channels)
        self.instance_interactive_conv = DynamicConv(channels, config.dynamic_channels, region_size)
        self.instance_interactive_conv_norm = nn.LayerNorm(channels)
        self.ffn = FeedForward(channels, config.feedforward_channels)
        self.ffn_norm = nn.LayerNorm(channels)
        self.cls_fcs = _normalized_layers(channels, config.class_layers)
        self.fc_cls = nn.Linear(channels, num_outputs)
        self.reg_fcs = _normalized_layers(channels, config.box_layers)
        self.fc_reg = nn.Linear(channels, 4)
        initialize(self)
        nn.init.constant_(self.fc_cls.bias, -math.log(1 / PRIOR_PROBABILITY - 1))

    def forward(self, queries: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries (B, Q, C), regions (B * Q, C, h, w) -> class logits (B, Q, K), box deltas (B, Q,
        4), the next stage's queries, and those for the mask head, (B, Q, C)."""
        attended = self.attention_norm(self.attention(queries, queries, queries, queries))
        interacted = self.instance_interactive_conv(attended.flatten(0, 1), regions)
        x = self.instance_interactive_conv_norm(attended + interacted.view_as(attended))
        x = self.ffn_norm(x + self.ffn(x))
        return self.fc_cls(self.cls_fcs(x)), self.fc_reg(self.reg_fcs(x)), x, attended


@config
class DynamicMaskHeadConfig:
    """Dynamic convolution, convolutions, 2x upsampling, and a mask per class.

    Args:
        dynamic_channels: Hidden channels of the dynamic convolutions.
        num_convs: Number of convolutions after the dynamic ones.
        norm: Norm after each convolution.
        loss: Loss of the masks.
        threshold: Probability at or above which a pixel belongs to the object.
    """

    dynamic_channels: Channels = 64
    num_convs: NonNegativeInt = 4
    norm: NormConfig = BatchNormConfig()
    loss: DiceLoss = DiceLoss(weight=8.0, eps=1e-5)
    threshold: UnitFloat = 0.5

    def build(self, channels: int, num_classes: int) -> DynamicMaskHead:
        return DynamicMaskHead(self, channels, num_classes)


class DynamicMaskHead(nn.Module):
    """Children ``instance_interactive_conv``, ``convs``, ``upsample``, ``conv_logits``."""

    def __init__(self, config: DynamicMaskHeadConfig, channels: int, num_classes: int) -> None:
        super().__init__()
        self.instance_interactive_conv = DynamicConv(channels, config.dynamic_channels)
        self.convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, norm=config.norm)
            for _ in range(config.num_convs)
        )
        self.upsample = Deconvolution(channels, channels)
        self.conv_logits = nn.Conv2d(channels, num_classes, 1)
        initialize(self)
        assert self.conv_logits.bias is not None
        nn.init.zeros_(self.conv_logits.bias)

    def forward(self, queries: Tensor, regions: Tensor) -> Tensor:
        """Queries (R, C), regions (R, C, h, w) -> mask logits (R, num_classes, 2h, 2w)."""
        x = self.instance_interactive_conv(queries, regions).transpose(1, 2).view_as(regions)
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(self.upsample(x))


def initialize(module: nn.Module) -> None:
    """Applies Xavier initialization to all weights."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


def _normalized_layers(channels: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [
            nn.Linear(channels, channels, bias=False),
            nn.LayerNorm(channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
