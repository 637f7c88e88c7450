"""A deformable convolution that is told where to sample."""

from __future__ import annotations

from torch import Tensor, nn

from detzoo.ops.deform_conv import deform_conv2d


class ShiftedConv2d(nn.Conv2d):
    """A convolution without bias whose samples are shifted (https://arxiv.org/abs/1703.06211)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        )

    def forward(self, x: Tensor, shifts: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W), and per group and position of the kernel a shift (y, x) in cells:
        (B, G * kernel area * 2, H, W) -> (B, C', H, W)."""
        return deform_conv2d(x, shifts.to(x), self.weight, None, self.stride, self.padding)
