from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from detzoo.backbones.convnext import ConvNeXtConfig
from detzoo.backbones.pretrained import PRETRAINED
from detzoo.checkpoints.transfer import initialize_backbone
from detzoo.errors import ConfigError
from detzoo.zoo.convnext import SMALL, TINY

NARROW = ConvNeXtConfig(channels=8, blocks=(1, 1, 2, 1), layer_scale=0.5)
PARTS = {"block.0": "dwconv", "block.2": "norm", "block.3": "pwconv1", "block.5": "pwconv2"}


def official(name: str, value: Tensor) -> tuple[str, Tensor]:
    """A parameter of torchvision under the name of ConvNeXt's authors."""
    block = re.fullmatch(r"features\.([1357])\.(\d+)\.(block\.\d\.\w+|layer_scale)", name)
    if block is None:
        between = re.fullmatch(r"features\.([0246])\.(\d)\.(\w+)", name)
        if between is None:
            return name, value
        return f"downsample_layers.{int(between[1]) // 2}.{between[2]}.{between[3]}", value
    place = f"stages.{int(block[1]) // 2}.{block[2]}"
    if block[3] == "layer_scale":
        return f"{place}.gamma", value.flatten()
    part, _, leaf = block[3].rpartition(".")
    return f"{place}.{PARTS[part]}.{leaf}", value


def test_torchvision_computes_the_same(tmp_path: Path) -> None:
    """With weights under the names of ConvNeXt's authors."""
    widths, blocks = (8, 16, 32, 64, None), NARROW.blocks
    torch.manual_seed(0)
    theirs = ConvNeXt(
        [CNBlockConfig(widths[i], widths[i + 1], blocks[i]) for i in range(4)],  # type: ignore[arg-type]
        layer_scale=0.5,
    ).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    file = tmp_path / "convnext.pth"
    torch.save({"model": dict(official(n, v) for n, v in theirs.state_dict().items())}, file)

    ours = NARROW.build().eval()
    report = initialize_backbone((ours,), str(file))
    assert set(report.missing) == {
        f"norm{i}.{leaf}" for i in range(4) for leaf in ("weight", "bias")
    }
    assert all(name.startswith("classifier.") for name in report.unexpected)
    x = torch.randn(2, 3, 75, 96)
    with torch.no_grad():
        found = ours(x)
        for stage in range(4):
            x = theirs.features[2 * stage : 2 * stage + 2](x)
            norm = torch.nn.functional.layer_norm(x.movedim(1, -1), (x.shape[1],), eps=1e-6)
            torch.testing.assert_close(found[stage], norm.movedim(-1, 1), atol=1e-4, rtol=1e-4)
            x = x.contiguous()


def test_what_is_frozen_and_what_takes_no_part() -> None:
    model = dataclasses.replace(NARROW, frozen_stages=2, out_stages=(1, 2)).build().train()
    frozen = ("stages.0.", "stages.1.", "downsample_layers.0.", "downsample_layers.1.")
    unused = ("stages.3.", "downsample_layers.3.")
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != name.startswith(frozen + unused), name
    sum(m.square().mean() for m in model(torch.randn(1, 3, 64, 64))).backward()  # type: ignore[union-attr]
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_recomputing_changes_no_gradient() -> None:
    plain = NARROW.build()
    recomputing = dataclasses.replace(NARROW, checkpoint_activations=True).build()
    recomputing.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 96)
    for model in (plain, recomputing):
        sum(m.square().mean() for m in model.train()(x)).backward()  # type: ignore[union-attr]
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(recomputing.get_parameter(name).grad, parameter.grad)


def test_without_layer_scale() -> None:
    model = dataclasses.replace(NARROW, layer_scale=0.0).build()
    assert not any(name.endswith("gamma") for name, _ in model.named_parameters())
    assert len(model(torch.randn(1, 3, 64, 64))) == 4


def test_published_weights_are_known() -> None:
    assert TINY.pretrained_name in PRETRAINED
    assert SMALL.pretrained_name in PRETRAINED
    assert "convnext-small" in (SMALL.pretrained_name or "")


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"stochastic_depth: 1\.0 is not less than 1"):
        dataclasses.replace(NARROW, stochastic_depth=1.0)
