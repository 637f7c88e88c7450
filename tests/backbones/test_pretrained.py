from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.backbones.pretrained import PRETRAINED, find_pretrained, pixels_of
from detzoo.backbones.resnet import ResNetConfig
from detzoo.errors import CheckpointError, ConfigError
from detzoo.structures import Pixels


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
    with pytest.raises(ConfigError, match="nearest names are torchvision://resnet50"):
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
    files = [weights.file for weights in PRETRAINED.values()]
    assert len({file.name for file in files}) == len(files)
    for name, weights in PRETRAINED.items():
        assert weights.file.addresses or name == "mobilenet_v2_imagenet"
        assert all(url.endswith(f"/{weights.file.name}") for url in weights.file.addresses)
        if name.startswith("https://"):
            assert weights.file.addresses == (name,)
