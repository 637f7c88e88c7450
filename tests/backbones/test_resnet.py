from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from torch import nn
from torchvision.models import resnet as torchvision_resnet

from detzoo.backbones.resnet import ResNet, ResNetConfig
from detzoo.backbones.trident_resnet import TridentResNetConfig
from detzoo.config import ConfigError
from detzoo.layers.norm import BatchNormConfig
from detzoo.layers.switchable import AdaptiveConvConfig, SwitchableAtrousConvConfig

TINY = ResNetConfig(depth=18, base_channels=8, frozen_stages=-1)
TINY_BOTTLENECKS = dataclasses.replace(TINY, depth=50)


def randomise(model: nn.Module) -> None:
    """Blocks start as nothing but their shortcut; give everything a part."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            spread = 0.5 + torch.rand(tensor.shape, generator=generator)
            tensor.copy_(spread if "conv" not in name else tensor + 0.01 * (spread - 1))


@pytest.mark.parametrize("depth", [18, 50])
def test_equals_torchvision(depth: int) -> None:
    config = ResNetConfig(depth=depth, frozen_stages=-1)  # type: ignore[arg-type]
    ours = config.build().double().eval()
    theirs = getattr(torchvision_resnet, f"resnet{depth}")().double().eval()
    randomise(ours)
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert missing == ["fc.weight", "fc.bias"]
    assert unexpected == []
    x = torch.randn(1, 3, 65, 70, dtype=torch.double)
    with torch.no_grad():
        outputs = ours(x)
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        for number, output in enumerate(outputs):
            x = getattr(theirs, f"layer{number + 1}")(x)
            torch.testing.assert_close(output, x)


@pytest.mark.parametrize("depth", [18, 50])
def test_deep_stem_and_averaging_shortcuts_are_those_of_timm(depth: int) -> None:
    timm = pytest.importorskip("timm")
    config = ResNetConfig(
        depth=depth,  # type: ignore[arg-type]
        frozen_stages=-1,
        deep_stem=True,
        average_shortcuts=True,
    )
    assert config.architecture == f"resnet{depth}_v1d"
    ours = config.build().double().eval()
    theirs = timm.create_model(f"resnet{depth}d", features_only=True).double().eval()
    randomise(ours)
    stem = {f"stem.{i}.": f"conv1.{i}." for i in (0, 1, 3, 4, 6)} | {"stem.7.": "bn1."}
    renamed = {}
    for name, value in ours.state_dict().items():
        for own, other in stem.items():
            name = re.sub(f"^{re.escape(own)}", other, name)
        renamed[name] = value
    theirs.load_state_dict(renamed)
    x = torch.randn(1, 3, 65, 70, dtype=torch.double)
    with torch.no_grad():
        for output, wanted in zip(ours(x), theirs(x)[1:], strict=True):
            torch.testing.assert_close(output, wanted)


@pytest.mark.parametrize(
    ("config", "blocks", "channels"),
    [
        (ResNetConfig(depth=18), (2, 2, 2, 2), (64, 128, 256, 512)),
        (ResNetConfig(depth=34), (3, 4, 6, 3), (64, 128, 256, 512)),
        (ResNetConfig(depth=50), (3, 4, 6, 3), (256, 512, 1024, 2048)),
        (ResNetConfig(depth=101), (3, 4, 23, 3), (256, 512, 1024, 2048)),
        (ResNetConfig(depth=152), (3, 8, 36, 3), (256, 512, 1024, 2048)),
    ],
)
def test_depths(config: ResNetConfig, blocks: tuple[int, ...], channels: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = config.build()
    assert tuple(len(model.get_submodule(f"layer{n}")) for n in range(1, 5)) == blocks
    assert model.out_channels == channels
    assert model.out_strides == (4, 8, 16, 32)


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 47), (1, 1)])
@pytest.mark.parametrize("base", [TINY, TINY_BOTTLENECKS])
def test_shapes_for_odd_sizes(base: ResNetConfig, size: tuple[int, int]) -> None:
    model = base.build()
    outputs = model(torch.randn(2, 3, *size))
    for output, channels, stride in zip(outputs, model.out_channels, model.out_strides):
        cells = tuple(-(-side // stride) for side in size)
        assert output.shape == (2, channels, *cells)


def test_style_says_which_convolution_halves_the_resolution() -> None:
    for style, strides in (("pytorch", (1, 2)), ("caffe", (2, 1))):
        config = dataclasses.replace(TINY_BOTTLENECKS, style=style)  # type: ignore[arg-type]
        block = config.build().get_submodule("layer2.0")
        found = (block.get_submodule("conv1"), block.get_submodule("conv2"))
        assert tuple(conv.stride[0] for conv in found) == strides  # type: ignore[union-attr,index]


def test_groups_make_a_resnext() -> None:
    config = dataclasses.replace(TINY_BOTTLENECKS, base_channels=64, groups=32, width_per_group=4)
    with torch.device("meta"):
        model = config.build()
    assert model.get_parameter("layer1.0.conv2.weight").shape == (128, 4, 3, 3)
    assert model.get_parameter("layer4.0.conv2.weight").shape == (1024, 32, 3, 3)
    assert model.out_channels == (256, 512, 1024, 2048)


def test_dilation_keeps_the_resolution() -> None:
    config = dataclasses.replace(
        TINY_BOTTLENECKS, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_stages=(2, 3)
    )
    model = config.build()
    assert model.out_strides == (16, 16)
    third, fourth = model(torch.randn(1, 3, 65, 64))
    assert third.shape[2:] == fourth.shape[2:] == (5, 4)
    assert model.get_submodule("layer4.2.conv2").dilation == (2, 2)


@pytest.mark.parametrize("frozen", [-1, 0, 1, 4])
def test_frozen_stages(frozen: int) -> None:
    """They have no gradients and stay in evaluation mode, the others learn."""
    config = dataclasses.replace(TINY, frozen_stages=frozen, norm=BatchNormConfig())
    model = config.build().train()
    still = ["conv1", "bn1", *(f"layer{n}" for n in range(1, frozen + 1))] if frozen >= 0 else []
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    outputs = model(torch.randn(2, 3, 64, 64))
    if frozen < 4:
        sum(output.sum() for output in outputs).backward()
    for name, parameter in model.named_parameters():
        is_still = name.split(".")[0] in still
        assert parameter.requires_grad is not is_still
        assert (parameter.grad is None) is is_still
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            is_still = name.split(".")[0] in still
            assert module.training is not is_still
            assert torch.equal(before[f"{name}.running_mean"], module.running_mean) is is_still


def test_stages_past_the_last_output_take_no_part() -> None:
    model = dataclasses.replace(TINY, out_stages=(0, 2)).build()
    outputs = model(torch.randn(1, 3, 64, 64))
    assert len(outputs) == 2
    sum(output.sum() for output in outputs).backward()
    learning = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert learning == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert "layer4.0.conv1.weight" in model.state_dict()


def test_a_fresh_block_is_its_shortcut() -> None:
    block = TINY.build().get_submodule("layer1.1")
    x = torch.rand(1, 8, 5, 5)
    assert torch.equal(block(x), x)


def test_from_scratch_freezes_nothing() -> None:
    config = ResNetConfig(
        depth=18,
        base_channels=8,
        pretrained="torchvision://resnet18",
        frozen_stages=2,
        norm=BatchNormConfig(trainable=False, fixed_statistics=True),
    ).from_scratch()
    assert config.pretrained is None
    model = config.build().train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_recomputed_activations_give_the_same_step() -> None:
    for frozen in (-1, 1):
        x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        results = []
        for recompute in (False, True):
            torch.manual_seed(0)
            config = dataclasses.replace(
                TINY, norm=BatchNormConfig(), frozen_stages=frozen, checkpoint_activations=recompute
            )
            model: ResNet = config.build().train()
            outputs = model(x)
            sum(output.square().sum() for output in outputs).backward()
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            results.append((outputs, gradients, list(model.buffers())))
        torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strides": (1, 2)}, "dilations: 4 values for 2 strides"),
        ({"strides": (1,) * 5, "dilations": (1,) * 5}, "for one to four stages"),
        ({"out_stages": (4,)}, "out_stages: (4,) is not a selection of 0..3"),
        ({"out_stages": ()}, "out_stages: ()"),
        ({"frozen_stages": 5}, "frozen_stages: 5 is not in -1..4"),
        ({"groups": 32}, "groups: ResNet-18 has no grouped convolutions"),
        ({"depth": 50, "width_per_group": 4}, "width_per_group: 4 leaves no channel"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        dataclasses.replace(TINY, **fields)  # type: ignore[arg-type]


def shortcuts(config: ResNetConfig) -> list[str]:
    """The kernels of the shortcuts that are not identities."""
    names = config.build().state_dict()
    return [name for name in names if re.search(r"downsample\.\d\.weight$", name)]


def test_averages_of_other_resnets() -> None:
    """As V2 builds them: TridentNet's branches never average, DetectoRS only to skip cells."""
    settings = {"depth": 50, "base_channels": 8, "average_shortcuts": True, "deep_stem": True}
    plain, norm = "layer{}.0.downsample.0.weight", "layer{}.0.downsample.1.weight"
    average = "layer{}.0.downsample.2.weight"
    trident = TridentResNetConfig(**settings)  # type: ignore[arg-type]
    wanted = [norm.format(1), average.format(1), norm.format(2), average.format(2)]
    assert shortcuts(trident) == [*wanted, plain.format(3), norm.format(3)]
    adaptive = ResNetConfig(**settings, convolution=AdaptiveConvConfig())  # type: ignore[arg-type]
    wanted = [plain.format(1), norm.format(1)]
    wanted += [name.format(k) for k in (2, 3, 4) for name in (norm, average)]
    assert shortcuts(adaptive) == wanted


def test_switchable_convolutions_in_groups() -> None:
    """A fresh one has no offsets and sees the small field of view alone."""
    conv = SwitchableAtrousConvConfig().build(8, 8, 3, padding=1, groups=2)
    x = torch.randn(1, 8, 6, 7)
    wanted = nn.functional.conv2d(x, conv.kernel(), padding=1, groups=2)  # type: ignore[operator]
    torch.testing.assert_close(conv(x), wanted)
    assert conv.weight.shape == (8, 4, 3, 3)
