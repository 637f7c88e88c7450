"""A ResNet with feedback connections from a feature pyramid (DetectoRS,
https://arxiv.org/abs/2006.02334)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.residual import Bottleneck
from detzoo.backbones.resnet import ResNet
from detzoo.layers.checkpoint import run_stage


def add_feedback(resnet: ResNet, channels: int) -> None:
    """Adds a 1x1 convolution ``rfp_conv``, initialized to zero, to the first block of every stage
    but the first, for feedback maps of ``channels``. The network must consist of bottlenecks."""
    for index in range(1, len(resnet.config.strides)):
        first = _first_block(resnet, index)
        conv = nn.Conv2d(channels, first.conv3.out_channels, 1)
        nn.init.zeros_(conv.weight)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        first.add_module("rfp_conv", conv)


def forward_with_feedback(
    resnet: ResNet, pixels: Tensor, feedback: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The maps of all stages of a ``resnet`` with feedback. ``feedback`` contains one map per stage
    but the first, of the size of that stage's output.
    """
    recompute = resnet.checkpoint_activations
    x = run_stage(resnet.stage(0), resnet.stem_features(pixels), recompute)
    outputs = [x]
    for index, map_ in enumerate(feedback, start=1):
        first = _first_block(resnet, index)
        x = F.relu(first.residual_sum(x, "none") + first.get_submodule("rfp_conv")(map_))
        rest = cast(nn.Sequential, resnet.stage(index))[1:]
        x = run_stage(cast(nn.Sequential, rest), x, recompute)
        outputs.append(x)
    return tuple(outputs)


def _first_block(resnet: ResNet, index: int) -> Bottleneck:
    return cast(Bottleneck, cast(nn.Sequential, resnet.stage(index))[0])
