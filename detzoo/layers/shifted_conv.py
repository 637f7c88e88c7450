"""A deformable convolution whose offsets are an input."""

from __future__ import annotations

from torch import Tensor, nn

from detzoo.ops.deform_conv import deform_conv2d


class ShiftedConv2d(nn.Conv2d):
    """A deformable convolution without bias, given its offsets
    (https://arxiv.org/abs/1703.06211)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        )

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W), and offsets (y, x) in cells per group G and kernel position (B, G * kernel
        area * 2, H, W) -> (B, C', H, W)."""
        return deform_conv2d(x, offsets.to(x), self.weight, None, self.stride, self.padding)
