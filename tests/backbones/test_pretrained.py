from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torchvision.models import MobileNet_V2_Weights, get_model_weights

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.backbones.pretrained import (
    PRETRAINED,
    find_pretrained,
    name_of,
    pixels_of,
    published_pretrained,
    torchvision_weights,
)
from detzoo.backbones.resnet import ResNetConfig
from detzoo.errors import CheckpointError, ConfigError
from detzoo.structures import Pixels
from detzoo.weights import hosts
from detzoo.zoo import find
from tests.weights.server import running


def resnet(pretrained: str | None) -> ResNetConfig:
    return dataclasses.replace(ResNetConfig(), pretrained=pretrained)


def pixels(pretrained: str) -> Pixels:
    return pixels_of(resnet(pretrained))


def test_weights_bring_the_pixels_they_were_trained_with() -> None:
    assert pixels("torchvision://resnet50").order == "rgb"
    caffe = pixels("open-mmlab://detectron2/resnet50_caffe")
    assert (caffe.order, caffe.std) == ("bgr", (1.0, 1.0, 1.0))
    caffe2 = pixels("open-mmlab://detectron2/resnext101_32x8d")
    assert (caffe2.order, caffe2.std[0]) == ("bgr", 57.375)
    tensorflow = pixels_of(MobileNetV2Config(pretrained="mobilenet_v2_imagenet"))
    assert (tensorflow.order, tensorflow.mean) == ("rgb", (127.5, 127.5, 127.5))
    assert pixels_of(resnet(None)) == pixels("torchvision://resnet50")
    assert pixels("open-mmlab://vgg16_caffe").std == (1.0, 1.0, 1.0)
    assert pixels("open-mmlab://vgg16_caffe").order == "rgb"
    assert pixels("open-mmlab://regnetx_3.2gf").order == "bgr"
    assert pixels("open-mmlab://darknet53").mean == (0.0, 0.0, 0.0)
    assert pixels("open-mmlab://detectron/resnet50_caffe").mean[0] == 102.9801


def test_the_pixels_of_a_file(tmp_path: Path) -> None:
    """Those of the published file of that name, hash apart."""
    caffe = pixels("open-mmlab://detectron2/resnet50_caffe")
    assert pixels(str(tmp_path / "resnet50_msra-5891d200.pth")) == caffe
    assert pixels("resnet50_msra.pth") == caffe
    assert pixels("R-50.pkl") == caffe
    assert pixels("mine.pth") == pixels("torchvision://resnet50")


def test_unknown_weights() -> None:
    for look in (lambda: pixels("resnet51"), lambda: find_pretrained("resnet51")):
        with pytest.raises(ConfigError, match=r"model\.backbone\.pretrained.*'resnet51'"):
            look()
    with pytest.raises(ConfigError, match="closest names are torchvision://resnet50"):
        find_pretrained("torchvision://resnet51")


def test_a_name_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path))
    name, file = "torchvision://resnet18", "resnet18-f37072fd.pth"
    with pytest.raises(CheckpointError) as error:
        find_pretrained(name)
    for text in (name, file, str(tmp_path), "--from-scratch"):
        assert text in str(error.value)
    (tmp_path / file).touch()
    assert find_pretrained(name) == tmp_path / file


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    with pytest.raises(CheckpointError, match=r"mine\.pth: no such file.*--from-scratch"):
        find_pretrained(str(file))
    file.touch()
    assert find_pretrained(str(file)) == file


def test_every_file_is_named_once_and_has_an_address() -> None:
    files = [file for weights in PRETRAINED.values() for file in weights.files]
    assert len({file.path for file in files}) == len(files)
    for name, weights in PRETRAINED.items():
        assert not name.startswith("https://") or name in weights.files[0].addresses
    for file in files:
        assert file.addresses or file.name == "mobilenet_v2_imagenet.npz"
        assert all(url.endswith(f"/{file.name}") for url in file.addresses)
        assert all(hosts.host_of(address) is not None for address in file.addresses)


def test_original_files_come_first() -> None:
    """Detectron2's and pycls' own, then what OpenMMLab made of them."""
    original, converted = PRETRAINED["open-mmlab://detectron2/resnet50_caffe"].files
    assert original.addresses == (
        "https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained/MSRA/R-50.pkl",
    )
    assert converted.addresses[0] == (
        "https://mmassets.onedl.ai/pretrain/third_party/resnet50_msra-5891d200.pth"
    )
    original, converted = PRETRAINED["open-mmlab://regnetx_3.2gf"].files
    assert original.name == "RegNetX-3.2GF_dds_8gpu.pyth"
    assert converted.path == "third_party/regnetx_3.2gf-c2599b0f.pth"


def test_weights_of_torchvision() -> None:
    """Names, files, hashes and normalization are torchvision's own."""
    known = torchvision_weights()
    for model in ("resnet18", "resnet50", "resnext101_32x8d", "mobilenet_v2", "vgg16"):
        for weights in get_model_weights(model):
            found = known[f"torchvision://{model}.{weights.name.lower()}"]
            assert found.files[0].addresses == (weights.url,)
            assert found.files[0].name == Path(weights.url).name
        assert known[f"torchvision://{model}"] == known[f"torchvision://{model}.imagenet1k_v1"]
    assert known["torchvision://resnet50"].pixels == Pixels()
    assert known["torchvision://vgg16.imagenet1k_features"].pixels.std == (1.0, 1.0, 1.0)
    second = known["torchvision://resnet50.imagenet1k_v2"]
    assert known["torchvision://resnet50-tnr"] == second


def test_files_that_differ_in_the_hash_alone() -> None:
    """MMDetection's resnext101_32x8d is Caffe2's, torchvision's is its own."""
    assert pixels("resnext101_32x8d-8ba56ff5.pth") == Pixels()
    assert pixels("resnext101_32x8d-1516f1aa.pth").order == "bgr"
    assert pixels("resnext101_32x8d.pth").order == "bgr"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://download.pytorch.org/models/resnet50-0676ba61.pth", "torchvision://resnet50"),
        (
            "http://download.openmmlab.com/pretrain/third_party/resnet50_msra-5891d200.pth",
            "open-mmlab://detectron2/resnet50_caffe",
        ),
        ("https://a.example/resnet50.pth", None),
    ],
)
def test_the_name_of_what_lies_at_an_address(address: str, name: str | None) -> None:
    assert name_of(address) == name


def test_the_small_detectors_start_from_weights_with_an_address() -> None:
    for name in ("retinanet_mobilenetv2_fpn", "mask_rcnn_mobilenetv2_fpn"):
        backbone = find(name).experiment.model.backbone
        weights = published_pretrained(str(backbone.pretrained_name))
        assert weights.files[0].addresses == (MobileNet_V2_Weights.IMAGENET1K_V1.url,)
        assert pixels_of(backbone) == Pixels()


def test_an_address_in_place_of_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("DETZOO_MIRRORS")
    with running() as server:
        path = find_pretrained(f"{server.address}/mine.pth")
    assert path.is_relative_to(tmp_path)
    assert pixels("https://a.example/resnet50_msra-0123abcd.pth").order == "bgr"
