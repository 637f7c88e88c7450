"""Recursive feature pyramid (DetectoRS, https://arxiv.org/abs/2006.02334)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.feedback import add_feedback, forward_with_feedback
from detzoo.backbones.resnet import ResNet, ResNetConfig
from detzoo.config import Channels, config
from detzoo.errors import ConfigError
from detzoo.layers.module_list import ModuleList
from detzoo.necks.base import Neck, NeckConfig
from detzoo.necks.fpn import FPNConfig, pyramid, pyramid_convs, pyramid_strides

# Dilations of the branches of the ASPP module; the last one is global average pooling.
DILATIONS = (1, 3, 6, 1)


@config
class RFPConfig(NeckConfig):
    """Recursive feature pyramid: feeds the levels back into a second backbone, and builds another
    pyramid from its maps. The detector's own backbone must set ``returns_image``.

    Args:
        backbone: The second backbone.
        fpn: The pyramid, used for both passes.
        feedback_channels: Channels that each of the four ASPP branches contributes to the feedback.
    """

    backbone: ResNetConfig
    fpn: FPNConfig = FPNConfig()
    feedback_channels: Channels = 64

    def from_scratch(self) -> RFPConfig:
        return dataclasses.replace(self, backbone=self.backbone.from_scratch())

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> RFP:
        if in_strides[0] != 1:
            raise ConfigError(
                "model.backbone.returns_image: must be true, since the neck's backbone needs the "
                "image"
            )
        return RFP(self, in_channels[1:], in_strides[1:])


class RFP(Neck):
    """Children ``lateral_convs``, ``fpn_convs``, ``rfp_modules`` (the second backbone),
    ``rfp_aspp`` and ``rfp_weight``."""

    def __init__(
        self, config: RFPConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.config = config
        channels = config.fpn.out_channels
        self.lateral_convs, self.fpn_convs = pyramid_convs(config.fpn, in_channels)
        backbone = config.backbone.build()
        self.rfp_aspp = Feedback(channels, config.feedback_channels)
        add_feedback(backbone, self.rfp_aspp.out_channels)
        self.rfp_modules = ModuleList[ResNet]([backbone])
        self.rfp_weight = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.rfp_weight.weight)
        assert self.rfp_weight.bias is not None
        nn.init.zeros_(self.rfp_weight.bias)
        self.out_channels = (channels,) * config.fpn.num_outputs
        self.out_strides = pyramid_strides(config.fpn, in_strides)

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        return tuple(self.rfp_modules)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The image (B, 3, H, W) and the backbone's maps -> the levels of the pyramid."""
        image, *maps = features
        first = self._pyramid(maps)
        # The first stage gets no feedback.
        feedback = [self.rfp_aspp(level) for level in first[1 : len(maps)]]
        second = self._pyramid(forward_with_feedback(self.rfp_modules[0], image, feedback))
        fused = []
        for before, after in zip(first, second):
            weight = self.rfp_weight(after).sigmoid()
            fused.append(weight * after + (1 - weight) * before)
        return tuple(fused)

    def _pyramid(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return pyramid(self.config.fpn, self.lateral_convs, self.fpn_convs, maps)


class Feedback(nn.Module):
    """Atrous spatial pyramid pooling: turns a level into feedback for the backbone. Child
    ``aspp``."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.aspp = nn.ModuleList()
        for dilation in DILATIONS:
            size, padding = (3, dilation) if dilation > 1 else (1, 0)
            conv = nn.Conv2d(in_channels, channels, size, padding=padding, dilation=dilation)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
            self.aspp.append(conv)
        self.out_channels = len(DILATIONS) * channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        mean = x.mean((2, 3), keepdim=True)
        inputs = (x, x, x, mean)
        branches = [F.relu(conv(own)) for conv, own in zip(self.aspp, inputs)]
        branches[-1] = branches[-1].expand_as(branches[0])
        return torch.cat(branches, 1)
