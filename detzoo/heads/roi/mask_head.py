"""Masks of regions (Mask R-CNN, https://arxiv.org/abs/1703.06870)."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, UnitFloat, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionMaskHead
from detzoo.heads.roi.layers import residual_convs
from detzoo.layers.carafe import CARAFE
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.norm import NormConfig
from detzoo.layers.normalized import NormalizedConv2d
from detzoo.ops.distributed import average_over_processes, num_processes
from detzoo.structures import Losses


@config
class MaskHeadConfig:
    """Convolutions, 2x upsampling, and one mask per class, or one for all classes.

    Args:
        num_convs: Number of 3x3 convolutions.
        channels: Output channels of each convolution and of the upsampling.
        convolution: Kind of the convolutions.
        norm: Norm after each convolution; None: a bias.
        residual: Whether pairs of convolutions are residual blocks, with the input's number of
            channels and without norms.
        upsampling: The 2x upsampling: a transposed convolution, or CARAFE.
        normalized_predictor: Whether the last layer uses cosine similarity
            (:class:`NormalizedConv2d`).
        class_agnostic: Whether a region has one mask, whatever its class.
        loss_weight: Factor of the mask loss.
        threshold: Probability at or above which a pixel belongs to the object.
    """

    num_convs: NonNegativeInt = 4
    channels: Channels = 256
    convolution: ConvConfig = PlainConvConfig()
    norm: NormConfig | None = None
    residual: bool = False
    upsampling: Literal["deconvolution", "carafe"] = "deconvolution"
    normalized_predictor: bool = False
    class_agnostic: bool = False
    loss_weight: NonNegativeFloat = 1.0
    threshold: UnitFloat = 0.5

    def build(self, in_channels: int, num_classes: int) -> MaskHead:
        """Builds the module for regions of ``in_channels``."""
        return MaskHead(self, in_channels, num_classes)


class MaskHead(RegionMaskHead):
    """Children ``convs``, ``upsample``, ``conv_logits``."""

    def __init__(self, config: MaskHeadConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.convs = mask_convs(config, in_channels)
        width = config.channels if config.num_convs else in_channels
        self.upsample, self.conv_logits = mask_predictor(config, width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Regions (R, C, h, w) -> mask logits (R, num_classes or 1, 2h, 2w)."""
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(self.upsample(x))

    def class_parameters(self) -> dict[str, ClassRows]:
        return {} if self.config.class_agnostic else MASK_CLASS_ROWS

    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Losses:
        return Losses(loss_mask=self.config.loss_weight * mask_loss(logits, labels, targets))


# ``class_parameters`` of mask heads.
MASK_CLASS_ROWS = {"conv_logits.weight": ClassRows(), "conv_logits.bias": ClassRows()}


def mask_convs(config: MaskHeadConfig, in_channels: int) -> nn.ModuleList:
    """Builds the convolutions before the upsampling."""
    if config.residual:
        return residual_convs(in_channels, config.num_convs)
    widths = [in_channels, *[config.channels] * config.num_convs]
    return nn.ModuleList(
        ConvModule(a, b, 3, padding=1, convolution=config.convolution, norm=config.norm)
        for a, b in itertools.pairwise(widths)
    )


class Deconvolution(nn.ConvTranspose2d):
    """Transposed convolution with 2x upsampling, and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2, stride=2)
        assert self.bias is not None
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return F.relu(super().forward(x, output_size), inplace=True)


def mask_predictor(
    config: MaskHeadConfig, in_channels: int, num_classes: int
) -> tuple[nn.Module, nn.Conv2d]:
    """Builds the upsampling, and the layer that predicts mask logits from its output."""
    if config.upsampling == "carafe":
        upsample: nn.Module = CARAFE(in_channels)
        width = in_channels
    else:
        upsample, width = Deconvolution(in_channels, config.channels), config.channels
    num_masks = 1 if config.class_agnostic else num_classes
    if config.normalized_predictor:
        logits: nn.Conv2d = NormalizedConv2d(width, num_masks)
    else:
        logits = nn.Conv2d(width, num_masks, 1)
    assert logits.bias is not None
    # Small, so that initial probabilities are close to 0.5 for any number of classes.
    nn.init.normal_(logits.weight, std=0.01)
    nn.init.zeros_(logits.bias)
    return upsample, logits


def mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy of the masks of the regions' own classes.

    Logits (R, C, m, m), labels (R,), targets (R, m, m) of 0 and 1.
    """
    own = own_masks(logits, labels).float()
    loss = F.binary_cross_entropy_with_logits(own, targets.to(own), reduction="sum")
    count = average_over_processes(labels.new_full((), len(labels), dtype=torch.float32))
    # Without positive regions in any process, the sum is zero, whatever the divisor.
    pixels = count.clamp(min=1 / num_processes()) * own.shape[1] * own.shape[2]
    return loss / pixels


def mask_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """The mask probabilities (R, m, m) of each region's class."""
    return own_masks(logits, labels).float().sigmoid()


def own_masks(logits: Tensor, labels: Tensor) -> Tensor:
    """Selects from logits (R, C, m, m) those of each region's label (R,) -> (R, m, m).

    A head with one mask for all classes has C = 1.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[torch.arange(len(labels), device=labels.device), labels]
