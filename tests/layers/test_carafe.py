from __future__ import annotations

import torch
import torch.nn.functional as F

from detzoo.layers.carafe import CARAFE
from detzoo.ops.carafe import carafe


def test_kernels_are_predicted_for_every_output_cell() -> None:
    torch.manual_seed(0)
    layer = CARAFE(4)
    torch.nn.init.normal_(layer.content_encoder.weight)
    x = torch.randn(2, 4, 3, 5)
    encoded = layer.content_encoder(layer.channel_compressor(x))
    wanted = carafe(x, F.pixel_shuffle(encoded, 2).softmax(1))
    torch.testing.assert_close(layer(x), wanted)


def test_a_fresh_layer_averages() -> None:
    x = torch.randn(1, 4, 6, 6)
    smooth = F.interpolate(F.avg_pool2d(x, 5, stride=1, padding=2), scale_factor=2)
    torch.testing.assert_close(CARAFE(4)(x), smooth, rtol=0, atol=0.1)


def test_no_maps() -> None:
    layer = CARAFE(4)
    out = layer(torch.zeros(0, 4, 3, 5))
    assert out.shape == (0, 4, 6, 10)
    out.sum().backward()
    assert layer.content_encoder.weight.grad is not None
