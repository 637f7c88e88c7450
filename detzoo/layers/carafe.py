"""Content-aware upsampling (CARAFE, https://arxiv.org/abs/1905.02188)."""

from __future__ import annotations

from torch import Tensor, nn

from detzoo.ops.carafe import carafe

SCALE = 2
# Sizes of the neighborhoods for reassembling an output cell, and for predicting its kernel.
KERNEL_SIZE = 5
ENCODER_SIZE = 3
COMPRESSED_CHANNELS = 64


class CARAFE(nn.Module):
    """2x upsampling with a predicted kernel for each output cell.

    Children ``channel_compressor``, ``content_encoder``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_compressor = nn.Conv2d(channels, COMPRESSED_CHANNELS, 1)
        outputs = KERNEL_SIZE**2 * SCALE**2
        self.content_encoder = nn.Conv2d(
            COMPRESSED_CHANNELS, outputs, ENCODER_SIZE, padding=ENCODER_SIZE // 2
        )
        nn.init.xavier_uniform_(self.channel_compressor.weight)
        # Kernels are initially almost uniform.
        nn.init.normal_(self.content_encoder.weight, std=0.001)
        for conv in (self.channel_compressor, self.content_encoder):
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        encoded = self.content_encoder(self.channel_compressor(x))
        # PyTorch's pixel shuffle has no gradient for an empty batch.
        count, _, height, width = encoded.shape
        cells = encoded.view(count, KERNEL_SIZE**2, SCALE, SCALE, height, width)
        kernels = cells.permute(0, 1, 4, 2, 5, 3).reshape(
            count, KERNEL_SIZE**2, SCALE * height, SCALE * width
        )
        return carafe(x, kernels.softmax(1))
