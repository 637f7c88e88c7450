from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detzoo.backbones.pretrained import pixels_of
from detzoo.backbones.timm import TimmBackbone, TimmConfig, timm_weights
from detzoo.checkpoints.transfer import initialize_backbone
from detzoo.config import ConfigError
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.errors import CheckpointError
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.necks.fpn import FPNConfig

timm = pytest.importorskip("timm")

SMALL = "mobilenetv3_small_050"


@pytest.mark.parametrize(
    ("model", "strides"),
    [
        (SMALL, (4, 8, 16, 32)),
        ("resnet10t", (4, 8, 16, 32)),
        ("convnext_atto", (4, 8, 16, 32)),
        ("efficientnet_lite0", (4, 8, 16, 32)),
        ("swin_s3_tiny_224", (4, 8, 16, 32)),  # channels last, and made for one size
        ("vit_tiny_patch16_224", (16, 16, 16)),
    ],
)
def test_models_of_all_kinds_give_maps(model: str, strides: tuple[int, ...]) -> None:
    backbone = TimmConfig(model=model).build().eval()
    assert backbone.out_strides == strides
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 96, 160))
    assert [map_.shape[1] for map_ in maps] == list(backbone.out_channels)
    assert [tuple(map_.shape[2:]) for map_ in maps] == [(96 // s, 160 // s) for s in strides]


def test_chosen_maps() -> None:
    backbone = TimmConfig(model=SMALL, out_stages=(1, 4)).build()
    assert backbone.out_strides == (4, 32)
    assert len(backbone(torch.zeros(1, 3, 64, 64))) == 2


def test_pixels_are_those_that_the_weights_declare() -> None:
    config = TimmConfig(model="vit_tiny_patch16_224", pretrained="timm://{architecture}")
    assert pixels_of(config).mean == (127.5, 127.5, 127.5)
    resnet = TimmConfig(model="resnet10t", pretrained="timm://{architecture}")
    assert pixels_of(resnet).mean[0] == pytest.approx(123.675)


def test_statistics_stay_unless_asked() -> None:
    backbone = TimmConfig(model=SMALL).build().train()
    norms = [m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    scratch = TimmConfig(model=SMALL, pretrained="timm://x").from_scratch()
    assert scratch.pretrained is None
    assert any(m.training for m in scratch.build().train().modules())


def test_weights_from_a_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))
    torch.manual_seed(1)
    whole = timm.create_model(SMALL)
    torch.save(whole.state_dict(), tmp_path / f"{SMALL}.pth")
    backbone = TimmConfig(model=SMALL).build()
    report = initialize_backbone((backbone,), f"timm://{SMALL}")
    assert report.missing == ()
    assert torch.equal(backbone.body.conv_stem.weight, whole.conv_stem.weight)


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    backbone = TimmConfig(model=SMALL).build()
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(CheckpointError, match=r"no route.*DETZOO_WEIGHTS"):
        timm_weights(f"timm://{SMALL}", backbone)


def test_it_carries_a_detector() -> None:
    model = SingleStageConfig(
        backbone=TimmConfig(model=SMALL),
        neck=FPNConfig(out_channels=8, start_level=1, extra_levels="on_input"),
        bbox_head=RetinaHeadConfig(num_convs=1, channels=8),
    ).build(2)
    assert isinstance(model.backbone, TimmBackbone)
    assert len(model.extract_features(torch.zeros(1, 3, 128, 128))) == 5


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet5000", "timm has no model 'resnet5000'"),
        ("mixer_s16_224", "cannot extract features"),
    ],
)
def test_what_is_no_backbone(model: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TimmConfig(model=model).build()


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install timm"):
        TimmConfig().build()
