"""Images with other than three channels: grayscale, color with depth, multispectral."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from detzoo.errors import ConfigError

COLORS = 3


def change_input_channels(backbone: nn.Module, channels: int) -> None:
    """Makes ``backbone``, which was built for color images, accept images with ``channels``
    channels.

    Its first convolution is replaced, with a kernel derived from the current one (see
    :func:`fit_input_kernel`).
    """
    for module in backbone.modules():
        # YOLOX's first convolution has four pixels per cell.
        if isinstance(module, nn.Conv2d) and module.in_channels % COLORS == 0:
            module.in_channels = module.in_channels // COLORS * channels
            kernel = fit_input_kernel(module.weight.detach(), module.in_channels)
            module.weight = nn.Parameter(kernel, module.weight.requires_grad)
            return
    raise ConfigError(
        f"pixels: {type(backbone).__name__} has no first convolution with three input channels "
        f"to adapt to {channels} channels; use another backbone, or images with three channels"
    )


def fit_input_kernel(kernel: Tensor, in_channels: int) -> Tensor:
    """Fits a kernel (out, in, h, w) for color images to ``in_channels``, with the same response to
    an image whose channels are all equal.

    For grayscale images that is the sum over the colors. Channels beyond the three colors get the
    colors' mean, and all are scaled down to compensate for their number.
    """
    out, old, height, width = kernel.shape
    groups = old // COLORS  # pixels per cell; the image's channels repeat for each of them
    by_color = kernel.view(out, groups, COLORS, height, width)
    channels = in_channels // groups
    mean = by_color.mean(2, keepdim=True)
    if channels < COLORS:
        return (mean * (COLORS / channels)).expand(-1, -1, channels, -1, -1).flatten(1, 2)
    more = mean.expand(-1, -1, channels - COLORS, -1, -1)
    return (torch.cat([by_color, more], 2) * (COLORS / channels)).flatten(1, 2)


def fit_input_kernels(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fits the weights ``given``, of a network for color images, to a network with the weights
    ``own`` and other input channels. Only the first kernel changes."""
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
