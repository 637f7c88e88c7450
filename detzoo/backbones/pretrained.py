"""Weights that backbones start from, and the pixel normalization that goes with them.

Weights are named as in MMDetection's configurations, or given by the path of a file.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.timm import SCHEME, timm_pixels
from detzoo.errors import CheckpointError, ConfigError
from detzoo.structures.pixels import Pixels
from detzoo.weights.locate import find_published_file
from detzoo.weights.places import OPENMMLAB, SUFFIXES, Published

TORCHVISION = Pixels()
# Caffe weights published by MSRA and converted by Detectron2: BGR, mean only.
CAFFE = Pixels(mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), order="bgr")
# The same weights converted by the first Detectron, with its own mean.
DETECTRON = Pixels(mean=(102.9801, 115.9465, 122.7717), std=(1.0, 1.0, 1.0), order="bgr")
# Trained with pycls or Caffe2: BGR, mean and standard deviation.
PYCLS = Pixels(mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), order="bgr")
CAFFE2 = PYCLS
# VGG for SSD: RGB, mean only.
SSD = Pixels(std=(1.0, 1.0, 1.0))
DARKNET = Pixels(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
RESNEST = Pixels(mean=(123.68, 116.779, 103.939), std=(58.393, 57.12, 57.375))
# Weights converted from TensorFlow: [-1, 1].
TENSORFLOW = Pixels(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


@dataclass(frozen=True)
class PretrainedWeights:
    """A published file of backbone weights, and the pixel normalization it was trained with."""

    file: Published
    pixels: Pixels = TORCHVISION


def _third_party(file: str, pixels: Pixels = TORCHVISION) -> PretrainedWeights:
    """Third-party weights that OpenMMLab published under MMDetection's parameter names."""
    path = f"third_party/{file}"
    hosts = (root.removesuffix("mmdetection/v2.0") for root in OPENMMLAB)
    return PretrainedWeights(
        Published(path, tuple(f"{host}pretrain/{path}" for host in hosts)), pixels
    )


def _pytorch(file: str) -> PretrainedWeights:
    address = f"https://download.pytorch.org/models/{file}"
    return PretrainedWeights(Published(file, (address,)))


def _pvt(file: str) -> PretrainedWeights:
    address = f"https://github.com/whai362/PVT/releases/download/v2/{file}"
    return PretrainedWeights(Published(file, (address,)))


def _swin(file: str, release: str = "v1.0.0") -> tuple[str, PretrainedWeights]:
    """From Swin's authors; V2's configurations name these by their address."""
    address = f"https://github.com/SwinTransformer/storage/releases/download/{release}/{file}"
    return address, PretrainedWeights(Published(file, (address,)))


def _mmcls(path: str) -> tuple[str, PretrainedWeights]:
    """A whole classifier of MMClassification, which V2's configurations name by its address."""
    address = f"https://download.openmmlab.com/mmclassification/v0/{path}"
    return address, PretrainedWeights(Published(Path(path).name, (address,)))


def _stem(file: str) -> str:
    """A file's name without folder, suffix and hash."""
    return re.sub(r"-[0-9a-f]{8}$", "", Path(file).stem)


PRETRAINED = {
    "torchvision://resnet18": _pytorch("resnet18-f37072fd.pth"),
    "torchvision://resnet34": _pytorch("resnet34-b627a593.pth"),
    "torchvision://resnet50": _pytorch("resnet50-0676ba61.pth"),
    "torchvision://resnet50-tnr": _pytorch("resnet50-11ad3fa6.pth"),
    "torchvision://resnet101": _pytorch("resnet101-63fe2227.pth"),
    "torchvision://resnet152": _pytorch("resnet152-394f9c45.pth"),
    "open-mmlab://detectron/resnet50_caffe": _third_party("resnet50_caffe-788b5fa3.pth", DETECTRON),
    "open-mmlab://detectron/resnet101_caffe": _third_party(
        "resnet101_caffe-3ad79236.pth", DETECTRON
    ),
    "open-mmlab://detectron2/resnet50_caffe": _third_party("resnet50_msra-5891d200.pth", CAFFE),
    "open-mmlab://detectron2/resnet101_caffe": _third_party("resnet101_msra-6cc46731.pth", CAFFE),
    "open-mmlab://resnext50_32x4d": _third_party("resnext50-32x4d-0ab1a123.pth"),
    "open-mmlab://resnext101_32x4d": _third_party("resnext101_32x4d-a5af3160.pth"),
    "open-mmlab://resnext101_64x4d": _third_party("resnext101_64x4d-ee2c6f71.pth"),
    "open-mmlab://detectron2/resnext101_32x8d": _third_party(
        "resnext101_32x8d-1516f1aa.pth", CAFFE2
    ),
    "open-mmlab://detectron/resnet50_gn": _third_party("resnet50_gn-9186a21c.pth", CAFFE),
    "open-mmlab://detectron/resnet101_gn": _third_party("resnet101_gn-cac0ab98.pth", CAFFE),
    "open-mmlab://contrib/resnet50_gn": _third_party("resnet50_gn_thangvubk-ad1730dd.pth"),
    "open-mmlab://jhu/resnet50_gn_ws": _third_party("resnet50_gn_ws-15beedd8.pth"),
    "open-mmlab://jhu/resnet101_gn_ws": _third_party("resnet101_gn_ws-3e3c308c.pth"),
    "open-mmlab://jhu/resnext50_32x4d_gn_ws": _third_party("resnext50_32x4d_gn_ws-0d87ac85.pth"),
    "open-mmlab://jhu/resnext101_32x4d_gn_ws": _third_party("resnext101_32x4d_gn_ws-34ac1a9e.pth"),
    "open-mmlab://regnetx_400mf": _third_party("regnetx_400mf-a5b10d96.pth", PYCLS),
    "open-mmlab://regnetx_800mf": _third_party("regnetx_800mf-1f4be4c7.pth", PYCLS),
    "open-mmlab://regnetx_1.6gf": _third_party("regnetx_1.6gf-5791c176.pth", PYCLS),
    "open-mmlab://regnetx_3.2gf": _third_party("regnetx_3.2gf-c2599b0f.pth", PYCLS),
    "open-mmlab://regnetx_4.0gf": _third_party("regnetx_4.0gf-a88f671e.pth", PYCLS),
    "open-mmlab://regnetx_6.4gf": _third_party("regnetx_6.4gf-006af45d.pth", PYCLS),
    "open-mmlab://regnetx_8.0gf": _third_party("regnetx_8.0gf-3c68abe7.pth", PYCLS),
    "open-mmlab://regnetx_12gf": _third_party("regnetx_12gf-4c2a3350.pth", PYCLS),
    "open-mmlab://msra/hrnetv2_w18": _third_party("hrnetv2_w18-00eb2006.pth"),
    "open-mmlab://msra/hrnetv2_w32": _third_party("hrnetv2_w32-dc9eeb4f.pth"),
    "open-mmlab://msra/hrnetv2_w40": _third_party("hrnetv2_w40-ed0b031c.pth"),
    "open-mmlab://res2net101_v1d_26w_4s": _third_party(
        "res2net101_v1d_26w_4s_mmdetv2-f0a600f9.pth"
    ),
    "open-mmlab://resnest50": _third_party("resnest50_d2-7497a55b.pth", RESNEST),
    "open-mmlab://resnest101": _third_party("resnest101_d2-f3b931b2.pth", RESNEST),
    "open-mmlab://vgg16_caffe": _third_party("vgg16_caffe-292e1171.pth", SSD),
    "open-mmlab://darknet53": _third_party("darknet53-a628ea1b.pth", DARKNET),
    "open-mmlab://mmdet/mobilenet_v2": PretrainedWeights(
        Published(
            "third_party/mobilenet_v2_batch256_imagenet-ff34753d.pth",
            tuple(
                f"{root}/third_party/mobilenet_v2_batch256_imagenet-ff34753d.pth"
                for root in OPENMMLAB
            ),
        )
    ),
    # Named as in MMDetection but never published, so it can only be found in a folder.
    "mobilenet_v2_imagenet": PretrainedWeights(Published("mobilenet_v2_imagenet.npz"), TENSORFLOW),
    **{
        f"https://github.com/whai362/PVT/releases/download/v2/{size}.pth": _pvt(f"{size}.pth")
        for size in (
            *("pvt_tiny", "pvt_small", "pvt_medium", "pvt_large"),
            *(f"pvt_v2_b{number}" for number in range(6)),
        )
    },
    **dict(
        (
            _swin("swin_tiny_patch4_window7_224.pth"),
            _swin("swin_tiny_patch4_window7_224_22k.pth", release="v1.0.8"),
            _swin("swin_small_patch4_window7_224.pth"),
            _swin("swin_small_patch4_window7_224_22k.pth", release="v1.0.8"),
            _swin("swin_base_patch4_window7_224.pth"),
            _swin("swin_base_patch4_window7_224_22k.pth"),
            _swin("swin_base_patch4_window12_384.pth"),
            _swin("swin_base_patch4_window12_384_22k.pth"),
            _swin("swin_large_patch4_window7_224_22k.pth"),
            _swin("swin_large_patch4_window12_384_22k.pth"),
            _mmcls("efficientnet/efficientnet-b3_3rdparty_8xb32-aa_in1k_20220119-5b4887a0.pth"),
            _mmcls(
                "convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth"
            ),
            _mmcls(
                "convnext/downstream/convnext-small_3rdparty_32xb128-noema_in1k_20220301-303e75e3.pth"
            ),
        )
    ),
}

# Weights by the name of their file, without the hash.
_BY_FILE = {_stem(weights.file.name): weights for weights in PRETRAINED.values()}


def pixels_of(backbone: BackboneConfig) -> Pixels:
    """The normalization that the backbone's weights expect; torchvision's if there are none.

    A file whose name matches a published one, apart from the hash, has that one's normalization.
    Any other ``.pkl`` file has Caffe's, like those of Detectron2, and any other file torchvision's.
    """
    name = backbone.pretrained_name
    if name is None:
        return TORCHVISION
    if name.startswith(SCHEME):
        return timm_pixels(name)
    if not is_file_name(name):
        return _published(name).pixels
    known = _BY_FILE.get(_stem(name))
    if known is not None:
        return known.pixels
    return CAFFE if Path(name).suffix == ".pkl" else TORCHVISION


def find_pretrained(name: str) -> Path:
    """The local file of the weights called ``name``, downloaded if necessary.

    Raises :class:`CheckpointError`, naming the file and the places searched, if there is none.
    """
    if name.startswith(SCHEME):
        raise CheckpointError(f"model.backbone.pretrained: {name}: only works with a timm backbone")
    if is_file_name(name):
        if not Path(name).is_file():
            raise CheckpointError(
                f"model.backbone.pretrained: {name}: no such file. Give the path of a file of "
                "backbone weights, or train without pretrained weights: --from-scratch."
            )
        return Path(name)
    return find_published_file(
        _published(name).file,
        f"pretrained weights {name!r}",
        "train without pretrained weights: --from-scratch",
    )


def is_file_name(name: str) -> bool:
    """Whether ``name`` refers to a file of the user's rather than an entry of the table."""
    return name not in PRETRAINED and "://" not in name and Path(name).suffix in SUFFIXES


def _published(name: str) -> PretrainedWeights:
    if name not in PRETRAINED:
        near = difflib.get_close_matches(name, PRETRAINED, n=3, cutoff=0.5)
        known = ", ".join(near or PRETRAINED)
        raise ConfigError(
            f"model.backbone.pretrained: no weights are called {name!r} "
            f"({'the nearest names are' if near else 'known:'} {known}). "
            f"The path of a file works too, if it ends in one of {', '.join(SUFFIXES)}."
        )
    return PRETRAINED[name]
