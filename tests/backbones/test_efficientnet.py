from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from detzoo.backbones.efficientnet import SCALES, EfficientNetConfig, SameConv, Variant
from detzoo.backbones.pretrained import PRETRAINED
from detzoo.errors import ConfigError
from detzoo.layers.fusion import fuse
from detzoo.layers.norm import BatchNormConfig
from detzoo.zoo.efficientnet import B3
from tests.meta import on_meta

PARTS = {
    "conv_pw.": "expand_conv.conv.",
    "conv_dw.": "depthwise_conv.conv.",
    "se.conv_reduce.": "se.conv1.conv.",
    "se.conv_expand.": "se.conv2.conv.",
    "conv_pwl.": "linear_conv.conv.",
}
NORMS = ("expand_conv", "depthwise_conv", "linear_conv")


def from_timm(tensors: dict[str, Tensor], blocks: tuple[int, ...]) -> dict[str, Tensor]:
    """Weights of timm under our names; the fifth stage of its seven belongs to our fourth."""
    named = {}
    for name, value in tensors.items():
        block = re.fullmatch(r"blocks\.(\d)\.(\d+)\.(.+)", name)
        if block is None:
            name = name.replace("conv_stem.", "layers.0.conv.").replace("bn1.", "layers.0.bn.")
            named[name] = value
            continue
        stage, number, part = int(block[1]), int(block[2]), block[3]
        if stage in (4, 6):
            number += blocks[stage - 1]
        layer = {4: 4, 5: 5, 6: 5}.get(stage, stage + 1)
        first = 1 if stage == 0 else 0  # does not expand
        if stage == 0:
            part = part.replace("conv_pw.", "conv_pwl.")
        for theirs, ours in PARTS.items():
            part = re.sub(rf"^{re.escape(theirs)}", ours, part)
        norm = re.match(r"bn(\d)\.", part)
        if norm is not None:
            part = f"{NORMS[int(norm[1]) - 1 + first]}.bn.{part.removeprefix(norm[0])}"
        named[f"layers.{layer}.{number}.{part}"] = value
    return named


@pytest.mark.parametrize("variant", ["b0", "b3"])
def test_timm_computes_the_same(variant: Variant) -> None:
    """timm's conversion of the published weights pads as TensorFlow does, too."""
    torch.manual_seed(0)
    theirs = timm.create_model(f"tf_efficientnet_{variant}", features_only=True).eval()
    for name, tensor in theirs.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    ours = EfficientNetConfig(variant=variant, out_stages=(0, 1, 2, 3, 4)).build().eval()
    blocks = tuple(len(stage) for stage in theirs.blocks)
    ours.load_state_dict(from_timm(theirs.state_dict(), blocks))
    x = torch.randn(1, 3, 95, 130)  # odd, and even but not a multiple of 32
    with torch.no_grad():
        for found, wanted in zip(ours(x), theirs(x), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        for found, fused in zip(ours(x), fuse(ours)(x)):
            torch.testing.assert_close(fused, found, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", list(SCALES))
def test_every_variant_is_as_wide_and_deep_as_in_timm(variant: Any) -> None:
    with on_meta():
        ours = EfficientNetConfig(variant=variant, out_stages=(4, 5)).build()
        theirs = timm.create_model(f"tf_efficientnet_{variant}", num_classes=0)
    assert ours.out_channels == (theirs.blocks[-1][-1].conv_pwl.out_channels, theirs.num_features)
    assert ours.out_strides == (32, 32)
    counts = [sum(p.numel() for p in model.parameters()) for model in (ours, theirs)]
    assert counts[0] == counts[1]


def test_same_padding_by_hand() -> None:
    conv = SameConv(1, 1, 5, stride=2, norm=BatchNormConfig()).eval()
    torch.nn.init.ones_(conv.conv.weight)
    conv.activation = "none"
    # 6 cells, 3 outputs: (3 - 1) * 2 + 5 - 6 = 3 more, one of them before and two behind.
    row = conv(torch.ones(1, 1, 6, 6))[0, 0, 1]
    torch.testing.assert_close(row, 5 * torch.tensor([4.0, 5.0, 3.0]), atol=1e-3, rtol=1e-3)


def test_what_is_frozen() -> None:
    model = EfficientNetConfig(frozen_stages=1, out_stages=(2,)).build().train()
    trained = {n.split(".")[1] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"2", "3"}
    assert not model.layers[1].training
    assert model.layers[2].training
    assert EfficientNetConfig(out_stages=(2,)).build().frozen_modules() == []


def test_recomputing_changes_no_gradient() -> None:
    plain_config = EfficientNetConfig(out_stages=(1, 2))
    plain = plain_config.build()
    recomputing = dataclasses.replace(plain_config, checkpoint_activations=True).build()
    recomputing.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for model in (plain, recomputing):
        sum(m.square().mean() for m in model.train()(x)).backward()  # type: ignore[union-attr]
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(recomputing.get_parameter(name).grad, parameter.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(recomputing.state_dict()[name], value)


def test_published_weights_are_known() -> None:
    assert B3.pretrained_name in PRETRAINED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out_stages": (6,)}, r"out_stages: \(6,\) is not a selection of 0\.\.5"),
        ({"frozen_stages": 6}, r"frozen_stages: 6 is not in -1\.\.5"),
        ({"stochastic_depth": 1.0}, "is not less than 1"),
    ],
)
def test_what_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(EfficientNetConfig(), **change)
