"""Detectors of images with other than three channels: gray, color with depth, multispectral."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from detzoo.errors import ConfigError

COLORS = 3


def change_input_channels(backbone: nn.Module, channels: int) -> None:
    """Makes ``backbone``, which was built for color images, take images of ``channels``.

    Its first convolution is changed, and starts from the kernel that it had (see
    :func:`fit_input_kernel`).
    """
    for module in backbone.modules():
        # YOLOX's first convolution sees four pixels at once.
        if isinstance(module, nn.Conv2d) and module.in_channels % COLORS == 0:
            module.in_channels = module.in_channels // COLORS * channels
            kernel = fit_input_kernel(module.weight.detach(), module.in_channels)
            module.weight = nn.Parameter(kernel, module.weight.requires_grad)
            return
    raise ConfigError(
        f"pixels: {type(backbone).__name__} begins with no convolution of three channels that "
        f"could take {channels}"
    )


def fit_input_kernel(kernel: Tensor, in_channels: int) -> Tensor:
    """A kernel (out, in, h, w) for color images as one of ``in_channels`` that answers alike.

    Alike: to an image whose channels are all the same. That of a gray image is the sum over
    colors; channels after those of the color get their mean, and all are weaker for being more.
    """
    out, old, height, width = kernel.shape
    groups = old // COLORS  # channels of the image follow each other, group by group
    by_color = kernel.view(out, groups, COLORS, height, width)
    channels = in_channels // groups
    mean = by_color.mean(2, keepdim=True)
    if channels < COLORS:
        return (mean * (COLORS / channels)).expand(-1, -1, channels, -1, -1).flatten(1, 2)
    more = mean.expand(-1, -1, channels - COLORS, -1, -1)
    return (torch.cat([by_color, more], 2) * (COLORS / channels)).flatten(1, 2)


def fit_input_kernels(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``given`` weights of a network for color images, for the network of ``own`` weights whose
    images have other channels. Only the kernel that sees the image changes."""
    fitted = dict(given)
    for name, kernel in given.items():
        wanted = own[name].shape if name in own else kernel.shape
        if kernel.ndim != 4 or kernel.shape == wanted or kernel.shape[1] % COLORS:
            continue
        groups = kernel.shape[1] // COLORS
        if (*kernel.shape[:1], *kernel.shape[2:]) != (*wanted[:1], *wanted[2:]):
            continue
        if groups in (1, 4) and wanted[1] % groups == 0:
            fitted[name] = fit_input_kernel(kernel, wanted[1])
    return fitted
