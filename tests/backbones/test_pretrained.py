from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.backbones.pretrained import find_pretrained, pixels_of, weight_directories
from detzoo.backbones.resnet import ResNetConfig
from detzoo.errors import CheckpointError, ConfigError


def resnet(pretrained: str | None) -> ResNetConfig:
    return dataclasses.replace(ResNetConfig(), pretrained=pretrained)


def test_weights_bring_the_pixels_they_were_trained_with() -> None:
    assert pixels_of(resnet("torchvision://resnet50")).order == "rgb"
    caffe = pixels_of(resnet("open-mmlab://detectron2/resnet50_caffe"))
    assert (caffe.order, caffe.std) == ("bgr", (1.0, 1.0, 1.0))
    caffe2 = pixels_of(resnet("open-mmlab://detectron2/resnext101_32x8d"))
    assert (caffe2.order, caffe2.std[0]) == ("bgr", 57.375)
    tensorflow = pixels_of(MobileNetV2Config(pretrained="mobilenet_v2_imagenet"))
    assert (tensorflow.order, tensorflow.mean) == ("rgb", (127.5, 127.5, 127.5))
    assert pixels_of(resnet(None)) == pixels_of(resnet("torchvision://resnet50"))


def test_unknown_weights() -> None:
    for look in (lambda: pixels_of(resnet("resnet51")), lambda: find_pretrained("resnet51")):
        with pytest.raises(ConfigError, match=r"model\.backbone\.pretrained.*'resnet51'.*known: "):
            look()


def test_places_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, cache = tmp_path / "a", tmp_path / "b", tmp_path / "cache"
    monkeypatch.setenv("DETZOO_WEIGHTS", f"{first}:{second}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert weight_directories()[:3] == [first, second, cache / "detzoo" / "weights"]
    name, file = "torchvision://resnet18", "resnet18-f37072fd.pth"
    with pytest.raises(CheckpointError) as error:
        find_pretrained(name)
    for text in (name, file, str(first), str(second), str(cache), "--from-scratch"):
        assert text in str(error.value)
    for place in (cache / "detzoo" / "weights", second, first):
        place.mkdir(parents=True)
        (place / file).touch()
        assert find_pretrained(name) == place / file
