from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.backbones.feedback import forward_with_feedback
from detzoo.backbones.resnet import ResNetConfig
from detzoo.errors import ConfigError
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.necks.rfp import RFP, Feedback, RFPConfig

BACKBONE = ResNetConfig(depth=50, base_channels=8, pretrained="torchvision://{architecture}")
FPN = FPNConfig(out_channels=8)
CONFIG = RFPConfig(backbone=BACKBONE, fpn=FPN, feedback_channels=2)


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        return dataclasses.replace(BACKBONE, returns_image=True).build().eval()(image)


@pytest.fixture(scope="module")
def neck(inputs: tuple[Tensor, ...]) -> RFP:
    torch.manual_seed(1)
    built = CONFIG.build([x.shape[1] for x in inputs], (1, 4, 8, 16, 32)).eval()
    torch.nn.init.normal_(built.rfp_weight.weight)
    return built


def test_levels(neck: RFP, inputs: tuple[Tensor, ...]) -> None:
    assert neck.out_channels == (8,) * 5
    assert neck.out_strides == (4, 8, 16, 32, 64)
    plain = FPN.build(BACKBONE.build().out_channels, (4, 8, 16, 32))
    names = {name for name in neck.state_dict() if not name.startswith("rfp_")}
    assert names == set(plain.state_dict())
    with torch.no_grad():
        assert [tuple(x.shape[2:]) for x in neck(inputs)] == [
            (16, 24),
            (8, 12),
            (4, 6),
            (2, 3),
            (1, 2),
        ]


@torch.no_grad()
def test_the_second_look_is_mixed_with_the_first(neck: RFP, inputs: tuple[Tensor, ...]) -> None:
    plain = FPN.build(BACKBONE.build().out_channels, (4, 8, 16, 32))
    plain.load_state_dict({k: v for k, v in neck.state_dict().items() if not k.startswith("rfp_")})
    image, *maps = inputs
    first = plain(tuple(maps))
    feedback = [neck.rfp_aspp(first[level]) for level in (1, 2, 3)]
    second = plain(forward_with_feedback(neck.rfp_modules[0], image, feedback))
    for found, before, after in zip(neck(inputs), first, second):
        share = neck.rfp_weight(after).sigmoid()
        torch.testing.assert_close(found, before + share * (after - before), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_feedback_sees_a_level_at_four_scales() -> None:
    feedback = Feedback(4, 3)
    assert feedback.out_channels == 12
    x = torch.randn(2, 4, 16, 16)
    out = feedback(x)
    assert out.shape == (2, 12, 16, 16)
    # The last branch is the same everywhere.
    torch.testing.assert_close(out[:, 9:], out[:, 9:, :1, :1].expand(-1, -1, 16, 16))
    mean = F.relu(feedback.aspp[3](x.mean((2, 3), keepdim=True)))
    torch.testing.assert_close(out[:, 9:, 5, 7], mean[:, :, 0, 0])
    # A change of one cell is seen 0, 3 and 6 cells away.
    changed = x.clone()
    changed[:, :, 8, 8] += 100
    reached = (feedback(changed) != out)[:, :9].any(0)
    for branch, distance in enumerate((0, 3, 6)):
        rows = reached[3 * branch : 3 * branch + 3].any(0).nonzero()
        assert (rows - 8).abs().max() == distance


def test_the_second_backbone_starts_from_weights_too(neck: RFP) -> None:
    assert neck.pretrained_modules() == (neck.rfp_modules[0],)
    scratch = CONFIG.from_scratch()
    assert scratch.backbone.pretrained is None
    assert scratch.backbone.norm == BatchNormConfig()


def test_the_image_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"model\.backbone\.returns_image: must be true"):
        CONFIG.build((32, 64, 128, 256), (4, 8, 16, 32))
