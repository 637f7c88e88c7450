from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2 as torchvision_mobilenet_v2

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.config import ConfigError
from detzoo.layers.norm import BatchNorm


def test_equals_torchvision() -> None:
    """The names differ, the order of the parameters does not."""
    ours = MobileNetV2Config(out_stages=(6, 7)).build().double().eval()
    theirs = torchvision_mobilenet_v2().double().eval()
    wanted = [(n, t) for n, t in theirs.state_dict().items() if n.startswith("features.")]
    for (_, target), value in zip(wanted, ours.state_dict().values(), strict=True):
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if value.dim() == 1 else value.normal_(std=0.05)
        assert target.shape == value.shape
        target.copy_(value)
    x = torch.randn(1, 3, 65, 70, dtype=torch.double)
    with torch.no_grad():
        last_stage, last = ours(x)
        torch.testing.assert_close(theirs.features[:18](x), last_stage)
        torch.testing.assert_close(theirs.features(x), last)


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 47)])
def test_shapes(size: tuple[int, int]) -> None:
    model = MobileNetV2Config(out_stages=(0, 1, 2, 4, 6, 7)).build().eval()
    assert model.out_channels == (16, 24, 32, 96, 320, 1280)
    assert model.out_strides == (2, 4, 8, 16, 32, 32)
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, *size))
    for output, channels, stride in zip(outputs, model.out_channels, model.out_strides):
        assert output.shape == (1, channels, *(-(-side // stride) for side in size))


@pytest.mark.parametrize("frozen", [-1, 0, 2])
def test_frozen_and_unused_stages(frozen: int) -> None:
    model = MobileNetV2Config(out_stages=(1, 3), frozen_stages=frozen).build().train()
    outputs = model(torch.randn(2, 3, 32, 32))
    sum(output.sum() for output in outputs).backward()
    still = ["conv1", *(f"layer{n}" for n in range(1, frozen + 1))] if frozen >= 0 else []
    unused = ["layer5", "layer6", "layer7", "conv2"]
    for name, parameter in model.named_parameters():
        learns = name.split(".")[0] not in (*still, *unused)
        assert parameter.requires_grad is learns
        assert (parameter.grad is not None) is learns
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training is (name.split(".")[0] not in still)


def test_from_scratch_freezes_nothing() -> None:
    config = MobileNetV2Config(
        pretrained="mobilenet_v2_imagenet",
        out_stages=(1, 7),
        frozen_stages=3,
        norm=BatchNorm(fixed_statistics=True, trainable=False),
    ).from_scratch()
    assert config.pretrained is None
    model = config.build().train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_recomputed_activations_give_the_same_step() -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        config = MobileNetV2Config(out_stages=(2, 7), checkpoint_activations=recompute)
        model = config.build().train()
        outputs = model(x)
        sum(output.square().sum() for output in outputs).backward()
        results.append((outputs, [p.grad for p in model.parameters()], list(model.buffers())))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"out_stages": (8,)}, "out_stages: (8,) is not a selection of 0..7"),
        ({"out_stages": ()}, "out_stages: ()"),
        ({"frozen_stages": 9}, "frozen_stages: 9 is not in -1..8"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        dataclasses.replace(MobileNetV2Config(), **fields)  # type: ignore[arg-type]
