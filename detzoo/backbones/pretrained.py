"""Weights that backbones start from, and the pixel normalisation that comes with them.

Names are those of MMDetection's configurations. The files are looked for by name in the
directories of ``DETZOO_WEIGHTS`` (separated like ``PATH``), then in detzoo's and torch's caches.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from detzoo.backbones.base import BackboneConfig
from detzoo.errors import CheckpointError, ConfigError
from detzoo.structures.pixels import Pixels

TORCHVISION = Pixels()
# Weights converted from Caffe: BGR, mean only.
CAFFE = Pixels(mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), order="bgr")
# ResNeXt-101-32x8d, trained in Caffe2: BGR, mean and deviation.
CAFFE2 = Pixels(mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), order="bgr")
# Weights converted from TensorFlow: [-1, 1].
TENSORFLOW = Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


@dataclass(frozen=True)
class PretrainedWeights:
    """A published file of backbone weights, and the pixels it was trained with."""

    file: str
    pixels: Pixels = TORCHVISION


PRETRAINED = {
    "torchvision://resnet18": PretrainedWeights("resnet18-f37072fd.pth"),
    "torchvision://resnet34": PretrainedWeights("resnet34-b627a593.pth"),
    "torchvision://resnet50": PretrainedWeights("resnet50-0676ba61.pth"),
    "torchvision://resnet50-tnr": PretrainedWeights("resnet50-11ad3fa6.pth"),
    "torchvision://resnet101": PretrainedWeights("resnet101-63fe2227.pth"),
    "torchvision://resnet152": PretrainedWeights("resnet152-394f9c45.pth"),
    "open-mmlab://detectron2/resnet50_caffe": PretrainedWeights(
        "resnet50_msra-5891d200.pth", CAFFE
    ),
    "open-mmlab://detectron2/resnet101_caffe": PretrainedWeights(
        "resnet101_msra-6cc46731.pth", CAFFE
    ),
    "open-mmlab://resnext101_32x4d": PretrainedWeights("resnext101_32x4d-a5af3160.pth"),
    "open-mmlab://resnext101_64x4d": PretrainedWeights("resnext101_64x4d-ee2c6f71.pth"),
    "open-mmlab://detectron2/resnext101_32x8d": PretrainedWeights(
        "resnext101_32x8d-1516f1aa.pth", CAFFE2
    ),
    "mobilenet_v2_imagenet": PretrainedWeights("mobilenet_v2_imagenet.npz", TENSORFLOW),
}


def pixels_of(backbone: BackboneConfig) -> Pixels:
    """The normalisation that the backbone's weights expect; torchvision's without weights."""
    name = backbone.pretrained_name
    if name is None:
        return TORCHVISION
    return _published(name).pixels


def find_pretrained(name: str) -> Path:
    """The local file of the weights called ``name``.

    Raises :class:`CheckpointError`, naming the file and the places tried, when there is none.
    """
    return find_weights(
        _published(name).file, f"pretrained weights {name!r}", "train without it: --from-scratch"
    )


def find_weights(file: str, purpose: str, alternative: str) -> Path:
    """The first file called ``file`` where weights are looked for.

    Raises :class:`CheckpointError`, which says what it was for and what else can be done.
    """
    places = weight_directories()
    for place in places:
        if (place / file).is_file():
            return place / file
    tried = "\n  ".join(str(place) for place in places)
    raise CheckpointError(
        f"{purpose}: no file {file} in any of\n  {tried}\n"
        f"Put it into one of them, point DETZOO_WEIGHTS at its folder, or {alternative}."
    )


def weight_directories() -> list[Path]:
    """Where weights are looked for, in order."""
    listed = [Path(p) for p in os.environ.get("DETZOO_WEIGHTS", "").split(os.pathsep) if p]
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "detzoo" / "weights"
    return [*listed, cache, Path(torch.hub.get_dir()) / "checkpoints"]


def _published(name: str) -> PretrainedWeights:
    if name not in PRETRAINED:
        raise ConfigError(
            f"model.backbone.pretrained: no weights are called {name!r} "
            f"(known: {', '.join(PRETRAINED)})"
        )
    return PRETRAINED[name]
