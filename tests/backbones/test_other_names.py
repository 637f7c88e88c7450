from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.backbones.other_names import to_backbone_names
from detzoo.backbones.resnet import ResNetConfig
from detzoo.checkpoints.transfer import initialize_backbone
from detzoo.layers.norm import BatchNormConfig


def resnet_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    config = ResNetConfig(depth=50, base_channels=8, norm=BatchNormConfig(), frozen_stages=-1)
    state = config.build().state_dict()
    return {n: torch.rand_like(v) for n, v in state.items() if "num_batches" not in n}


def detectron_name(name: str) -> str:
    """Our name in Caffe2's."""
    leaf = {"weight": "w", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    norm_leaf = {**leaf, "weight": "s"}
    stem = re.fullmatch(r"(conv1|bn1)\.(\w+)", name)
    if stem:
        return (
            f"conv1_{leaf[stem[2]]}" if stem[1] == "conv1" else f"res_conv1_bn_{norm_leaf[stem[2]]}"
        )
    stage, block, part, kind = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)\.(\w+)", name).groups()  # type: ignore[union-attr]
    branch = {"downsample.0": "1", "downsample.1": "1_bn"}.get(part)
    if branch is None:
        branch = f"2{'abc'[int(part[-1]) - 1]}" + ("_bn" if part.startswith("bn") else "")
    ending = (norm_leaf if branch.endswith("bn") else leaf)[kind]
    return f"res{int(stage) + 1}_{block}_branch{branch}_{ending}"


def detectron2_name(name: str) -> str:
    name = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    name = re.sub(r"\bbn(\d)", r"conv\1.norm", name)
    return f"stem.{name}" if not name.startswith("res") else name


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert set(wanted) <= set(found)
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_examples_of_names() -> None:
    one = torch.ones(1)
    names = [
        ("res2_0_branch2a_w", "layer1.0.conv1.weight"),
        ("conv1_w", "conv1.weight"),
        ("res_conv1_bn_s", "bn1.weight"),
        ("res_conv1_bn_b", "bn1.bias"),
        ("res4_22_branch2c_bn_s", "layer3.22.bn3.weight"),
        ("res5_0_branch1_w", "layer4.0.downsample.0.weight"),
        ("res5_0_branch1_bn_b", "layer4.0.downsample.1.bias"),
        ("fc1000_w", "fc1000_w"),
    ]
    found = to_backbone_names({name: one * i for i, (name, _) in enumerate(names)})
    for i, (_, ours) in enumerate(names):
        assert found[ours] == i
    group = {"res2_0_branch2a_w": one, "conv1_gn_s": one, "res2_0_branch2b_gn_b": one}
    assert set(to_backbone_names(group)) == {
        "layer1.0.conv1.weight",
        "gn1.weight",
        "layer1.0.gn2.bias",
    }


def test_a_whole_resnet_of_detectron() -> None:
    state = resnet_state()
    same(to_backbone_names({detectron_name(n): v for n, v in state.items()}), state)


def test_folded_statistics_are_none() -> None:
    """Detectron folded the statistics into weight and bias: mean 0, variance 1 are left."""
    state = resnet_state()
    kept = {detectron_name(n): v for n, v in state.items() if "running" not in n}
    found = to_backbone_names(kept)
    assert set(found) == set(state)
    for name in state:
        if "running" in name:
            expected = torch.zeros if name.endswith("mean") else torch.ones
            assert torch.equal(found[name], expected(state[name].shape))
        else:
            assert torch.equal(found[name], state[name])


@pytest.mark.parametrize("prefix", ["", "backbone.bottom_up."])
def test_a_whole_resnet_of_detectron2(prefix: str) -> None:
    state = resnet_state()
    theirs = {prefix + detectron2_name(n): v for n, v in state.items()}
    assert f"{prefix}res2.0.conv1.norm.weight" in theirs
    assert f"{prefix}stem.conv1.norm.running_var" in theirs
    same(to_backbone_names({**theirs, "roi_heads.x": torch.ones(1)}), state)


def test_a_detector_gives_its_backbone() -> None:
    state = resnet_state()
    whole = {f"backbone.{name}": value for name, value in state.items()}
    found = to_backbone_names({**whole, "neck.lateral_convs.0.conv.weight": torch.ones(1)})
    assert set(found) == set(state)


def test_our_own_names_stay() -> None:
    state = {**resnet_state(), "fc.weight": torch.ones(1)}
    found = to_backbone_names(state)
    assert list(found) == list(state)
    same(found, state)


def test_mobilenet_of_torchvision() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v2().eval()
    config = MobileNetV2Config(out_stages=(7,))
    ours = config.build().eval()
    missing, unexpected = ours.load_state_dict(to_backbone_names(theirs.state_dict()), strict=False)
    assert (missing, unexpected) == ([], ["classifier.1.weight", "classifier.1.bias"])
    image = torch.rand(1, 3, 64, 64)
    assert torch.allclose(ours(image)[0], theirs.features(image), atol=1e-6)


def test_regnet_of_pycls() -> None:
    names = [
        ("stem.conv.weight", "conv1.weight"),
        ("stem.bn.running_mean", "bn1.running_mean"),
        ("s1.b1.proj.weight", "layer1.0.downsample.0.weight"),
        ("s1.b1.bn.bias", "layer1.0.downsample.1.bias"),
        ("s1.b1.f.a.weight", "layer1.0.conv1.weight"),
        ("s3.b12.f.b_bn.weight", "layer3.11.bn2.weight"),
        ("s4.b2.f.c.weight", "layer4.1.conv3.weight"),
        ("head.fc.weight", "head.fc.weight"),
    ]
    found = to_backbone_names({theirs: torch.ones(1) * i for i, (theirs, _) in enumerate(names)})
    assert {name: int(value) for name, value in found.items()} == {
        ours: i for i, (_, ours) in enumerate(names)
    }


def test_pvt() -> None:
    cells, width = 49, 2
    theirs = {
        "patch_embed1.proj.weight": torch.rand(width, 3, 4, 4),
        "patch_embed1.norm.weight": torch.rand(width),
        "pos_embed1": torch.rand(1, cells, width),
        "pos_embed4": torch.rand(1, 1 + cells, width),
        "block1.0.norm1.weight": torch.rand(width),
        "block1.2.attn.q.weight": torch.rand(width, width),
        "block1.2.attn.kv.weight": torch.rand(2 * width, width),
        "block1.2.attn.q.bias": torch.rand(width),
        "block1.2.attn.kv.bias": torch.rand(2 * width),
        "block1.0.attn.proj.weight": torch.rand(width, width),
        "block1.0.attn.sr.weight": torch.rand(width, width, 8, 8),
        "block1.0.attn.norm.bias": torch.rand(width),
        "block1.0.mlp.fc1.weight": torch.rand(8, width),
        "block1.0.mlp.fc1.bias": torch.rand(8),
        "block1.0.mlp.fc2.weight": torch.rand(width, 8),
        "cls_token": torch.rand(1, 1, width),
        "norm.weight": torch.rand(width),
        "head.weight": torch.rand(1000, width),
    }
    found = to_backbone_names(theirs)
    block = "layers.0.1.1"
    unchanged = {
        "layers.0.0.projection.weight": "patch_embed1.proj.weight",
        "layers.0.0.norm.weight": "patch_embed1.norm.weight",
        "layers.0.1.0.pos_embed": "pos_embed1",
        f"{block}.norm1.weight": "block1.0.norm1.weight",
        f"{block}.attn.attn.out_proj.weight": "block1.0.attn.proj.weight",
        f"{block}.attn.sr.weight": "block1.0.attn.sr.weight",
        f"{block}.attn.norm.bias": "block1.0.attn.norm.bias",
        f"{block}.ffn.layers.0.bias": "block1.0.mlp.fc1.bias",
    }
    same(found, {ours: theirs[name] for ours, name in unchanged.items()})
    assert torch.equal(found["layers.3.1.0.pos_embed"], theirs["pos_embed4"][:, 1:])
    joined = torch.cat((theirs["block1.2.attn.q.weight"], theirs["block1.2.attn.kv.weight"]))
    assert torch.equal(found["layers.0.1.3.attn.attn.in_proj_weight"], joined)
    assert found["layers.0.1.3.attn.attn.in_proj_bias"].shape == (3 * width,)
    assert found[f"{block}.ffn.layers.0.weight"].shape == (8, width, 1, 1)
    assert found[f"{block}.ffn.layers.3.weight"].shape == (width, 8, 1, 1)
    assert len(found) == len(theirs) - 2  # Two pairs are joined.


def test_pvt_v2_has_a_convolution_between() -> None:
    theirs = {
        "patch_embed1.proj.weight": torch.rand(2, 3, 7, 7),
        "block2.1.mlp.dwconv.dwconv.weight": torch.rand(8, 1, 3, 3),
        "block2.1.mlp.fc2.bias": torch.rand(2),
        "norm4.weight": torch.rand(2),
    }
    assert list(to_backbone_names(theirs)) == [
        "layers.0.0.projection.weight",
        "layers.1.1.1.ffn.layers.1.weight",
        "layers.1.1.1.ffn.layers.4.bias",
        "layers.3.2.weight",
    ]


def test_a_detectron_pickle_starts_a_backbone(tmp_path: Path) -> None:
    state = resnet_state()
    path = tmp_path / "R-50.pkl"
    model = {detectron_name(n): v.numpy() for n, v in state.items() if "running" not in n}
    content = {"model": {**model, "fc1000_w": np.zeros(2)}, "__author__": "Caffe2"}
    path.write_bytes(pickle.dumps(content, 2))
    config = ResNetConfig(depth=50, base_channels=8, pretrained=str(path))
    backbone = config.build()
    report = initialize_backbone((backbone,), str(path))
    assert (report.missing, report.unexpected) == ((), ("fc1000_w",))
    loaded = backbone.state_dict()
    assert torch.equal(loaded["layer3.5.bn2.weight"], state["layer3.5.bn2.weight"])
    assert torch.equal(loaded["layer3.5.bn2.running_var"], torch.ones(32))
