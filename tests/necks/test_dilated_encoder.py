from __future__ import annotations

import torch

from detzoo.necks.dilated_encoder import DilatedEncoder, DilatedEncoderConfig


def build() -> DilatedEncoder:
    return DilatedEncoderConfig(out_channels=8, middle_channels=4, dilations=(2, 3)).build(
        (4, 16), (16, 32)
    )


def test_the_last_map_is_used() -> None:
    neck = build()
    features = (torch.randn(2, 4, 12, 14), torch.randn(2, 16, 6, 7))
    (found,) = neck(features)
    assert found.shape == (2, 8, 6, 7)
    assert (neck.out_channels, neck.out_strides) == ((8,), (32,))
    assert torch.equal(neck((features[0] + 1, features[1]))[0], found)


def test_the_bias_counts() -> None:
    """In evaluation; in training the batch norm takes it out."""
    neck = build()
    features = (torch.randn(2, 16, 6, 7),)
    with torch.no_grad():
        before = neck.train()(features)[0]
        assert neck.lateral_conv.bias is not None
        neck.lateral_conv.bias.add_(1.0)
        torch.testing.assert_close(neck(features)[0], before, atol=1e-4, rtol=1e-4)
        evaluated = neck.eval()(features)[0]
        neck.lateral_conv.bias.add_(1.0)
        assert not torch.allclose(neck(features)[0], evaluated)


def test_names_are_those_of_checkpoints() -> None:
    names = set(build().state_dict())
    assert {"lateral_conv.bias", "lateral_norm.running_var", "fpn_conv.weight"} <= names
    assert "dilated_encoder_blocks.1.conv2.bn.weight" in names
    assert "dilated_encoder_blocks.1.conv2.conv.bias" not in names
