"""Pretrained backbone weights, and their pixel normalization.

Weights are given by their names in MMDetection's configurations, or by the path of a file.
"""

from __future__ import annotations

import difflib
import functools
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torchvision.models import get_model_weights, list_models

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.timm import SCHEME, timm_pixels
from detzoo.errors import CheckpointError, ConfigError
from detzoo.structures.pixels import Pixels
from detzoo.weights import hosts
from detzoo.weights.locate import find_published_file, local_file
from detzoo.weights.places import SUFFIXES, Published, is_address, openmmlab_file

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
    """Published files of the same backbone weights, in the order in which they are tried, and the
    pixel normalization that the weights were trained with.
    """

    files: tuple[Published, ...]
    pixels: Pixels = TORCHVISION


def _third_party(
    file: str, pixels: Pixels = TORCHVISION, original: Published | None = None
) -> PretrainedWeights:
    """Third-party weights that OpenMMLab published under MMDetection's parameter names.

    ``original`` is the file that they were converted from.
    """
    converted = openmmlab_file(f"pretrain/third_party/{file}")
    return PretrainedWeights((converted,) if original is None else (original, converted), pixels)


def _original(host: hosts.Host, path: str) -> Published:
    project = host.root.rpartition("/")[2]
    return Published(f"{project}/{path}", (host.at(path),))


def _regnet(file: str, number: int, size: str) -> PretrainedWeights:
    """RegNetX, converted from number ``number`` of pycls' baselines."""
    path = f"dds_baselines/{number}/RegNetX-{size}_dds_8gpu.pyth"
    return _third_party(file, PYCLS, _original(hosts.PYCLS, path))


def _at_their_authors(host: hosts.Host, *paths: str) -> dict[str, PretrainedWeights]:
    """Weights that MMDetection's configurations refer to by address."""
    return {
        host.at(path): PretrainedWeights((Published(Path(path).name, (host.at(path),)),))
        for path in paths
    }


def _mmcls(path: str) -> tuple[str, PretrainedWeights]:
    """A complete classifier of MMClassification, also referred to by address."""
    path = f"mmclassification/v0/{path}"
    return hosts.OPENMMLAB_PAST.at(path), PretrainedWeights((openmmlab_file(path),))


def _stem(file: str) -> str:
    """A file's name without folder, suffix and hash."""
    return re.sub(r"-[0-9a-f]{8}$", "", Path(file).stem)


PRETRAINED = {
    "open-mmlab://detectron/resnet50_caffe": _third_party("resnet50_caffe-788b5fa3.pth", DETECTRON),
    "open-mmlab://detectron/resnet101_caffe": _third_party(
        "resnet101_caffe-3ad79236.pth", DETECTRON
    ),
    "open-mmlab://detectron2/resnet50_caffe": _third_party(
        "resnet50_msra-5891d200.pth",
        CAFFE,
        _original(hosts.DETECTRON2, "ImageNetPretrained/MSRA/R-50.pkl"),
    ),
    "open-mmlab://detectron2/resnet101_caffe": _third_party(
        "resnet101_msra-6cc46731.pth",
        CAFFE,
        _original(hosts.DETECTRON2, "ImageNetPretrained/MSRA/R-101.pkl"),
    ),
    "open-mmlab://resnext50_32x4d": _third_party("resnext50-32x4d-0ab1a123.pth"),
    "open-mmlab://resnext101_32x4d": _third_party("resnext101_32x4d-a5af3160.pth"),
    "open-mmlab://resnext101_64x4d": _third_party("resnext101_64x4d-ee2c6f71.pth"),
    "open-mmlab://detectron2/resnext101_32x8d": _third_party(
        "resnext101_32x8d-1516f1aa.pth",
        CAFFE2,
        _original(hosts.DETECTRON2, "ImageNetPretrained/FAIR/X-101-32x8d.pkl"),
    ),
    "open-mmlab://detectron/resnet50_gn": _third_party(
        "resnet50_gn-9186a21c.pth",
        CAFFE,
        _original(hosts.DETECTRON, "ImageNetPretrained/47261647/R-50-GN.pkl"),
    ),
    "open-mmlab://detectron/resnet101_gn": _third_party(
        "resnet101_gn-cac0ab98.pth",
        CAFFE,
        _original(hosts.DETECTRON, "ImageNetPretrained/47592356/R-101-GN.pkl"),
    ),
    "open-mmlab://contrib/resnet50_gn": _third_party("resnet50_gn_thangvubk-ad1730dd.pth"),
    "open-mmlab://jhu/resnet50_gn_ws": _third_party("resnet50_gn_ws-15beedd8.pth"),
    "open-mmlab://jhu/resnet101_gn_ws": _third_party("resnet101_gn_ws-3e3c308c.pth"),
    "open-mmlab://jhu/resnext50_32x4d_gn_ws": _third_party("resnext50_32x4d_gn_ws-0d87ac85.pth"),
    "open-mmlab://jhu/resnext101_32x4d_gn_ws": _third_party("resnext101_32x4d_gn_ws-34ac1a9e.pth"),
    "open-mmlab://regnetx_400mf": _regnet("regnetx_400mf-a5b10d96.pth", 160905967, "400MF"),
    "open-mmlab://regnetx_800mf": _regnet("regnetx_800mf-1f4be4c7.pth", 160906036, "800MF"),
    "open-mmlab://regnetx_1.6gf": _regnet("regnetx_1.6gf-5791c176.pth", 160990626, "1.6GF"),
    "open-mmlab://regnetx_3.2gf": _regnet("regnetx_3.2gf-c2599b0f.pth", 160906139, "3.2GF"),
    "open-mmlab://regnetx_4.0gf": _regnet("regnetx_4.0gf-a88f671e.pth", 160906383, "4.0GF"),
    "open-mmlab://regnetx_6.4gf": _regnet("regnetx_6.4gf-006af45d.pth", 161116590, "6.4GF"),
    "open-mmlab://regnetx_8.0gf": _regnet("regnetx_8.0gf-3c68abe7.pth", 161107726, "8.0GF"),
    "open-mmlab://regnetx_12gf": _regnet("regnetx_12gf-4c2a3350.pth", 160906020, "12GF"),
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
    # The second is the MMClassification classifier that the first was extracted from.
    "open-mmlab://mmdet/mobilenet_v2": PretrainedWeights(
        (
            openmmlab_file(
                "mmdetection/v2.0/third_party/mobilenet_v2_batch256_imagenet-ff34753d.pth"
            ),
            openmmlab_file(
                "mmclassification/v0/mobilenet_v2/"
                "mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth"
            ),
        )
    ),
    # TensorFlow's weights, which are not published under these names: only found in local folders.
    "mobilenet_v2_imagenet": PretrainedWeights(
        (Published("mobilenet_v2_imagenet.npz"),), TENSORFLOW
    ),
    **_at_their_authors(
        hosts.PVT,
        *("pvt_tiny.pth", "pvt_small.pth", "pvt_medium.pth", "pvt_large.pth"),
        *(f"pvt_v2_b{number}.pth" for number in range(6)),
    ),
    **_at_their_authors(
        hosts.SWIN,
        "v1.0.0/swin_tiny_patch4_window7_224.pth",
        "v1.0.8/swin_tiny_patch4_window7_224_22k.pth",
        "v1.0.0/swin_small_patch4_window7_224.pth",
        "v1.0.8/swin_small_patch4_window7_224_22k.pth",
        "v1.0.0/swin_base_patch4_window7_224.pth",
        "v1.0.0/swin_base_patch4_window7_224_22k.pth",
        "v1.0.0/swin_base_patch4_window12_384.pth",
        "v1.0.0/swin_base_patch4_window12_384_22k.pth",
        "v1.0.0/swin_large_patch4_window7_224_22k.pth",
        "v1.0.0/swin_large_patch4_window12_384_22k.pth",
    ),
    **dict(
        (
            _mmcls("resnet/resnet50_8xb256-rsb-a1-600e_in1k_20211228-20e21305.pth"),
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

_TORCHVISION = "torchvision://"
# The torchvision models that are backbones here.
_OF_TORCHVISION = ("resnet*", "resnext*", "wide_resnet*", "mobilenet_v2", "vgg16")


@functools.cache
def torchvision_weights() -> Mapping[str, PretrainedWeights]:
    """torchvision's weights, by name as in MMDetection: ``torchvision://resnet50`` for its first
    ones and ``torchvision://resnet50.imagenet1k_v2`` for any."""
    found = {}
    for model in list_models(include=_OF_TORCHVISION):
        of_model = {}
        for weights in get_model_weights(model):
            declared = weights.transforms()
            pixels = Pixels(
                mean=tuple(round(255 * value, 3) for value in declared.mean),
                std=tuple(round(255 * value, 3) for value in declared.std),
            )
            file = Published(weights.url.rpartition("/")[2], (weights.url,))
            of_model[weights.name.lower()] = PretrainedWeights((file,), pixels)
        found[f"{_TORCHVISION}{model}"] = of_model["imagenet1k_v1"]
        for name, each in of_model.items():
            found[f"{_TORCHVISION}{model}.{name}"] = each
    # The former name here of ResNet-50's second weights.
    found[f"{_TORCHVISION}resnet50-tnr"] = found[f"{_TORCHVISION}resnet50.imagenet1k_v2"]
    return found


@functools.cache
def all_pretrained() -> Mapping[str, PretrainedWeights]:
    """All published weights by name, including torchvision's."""
    return {**torchvision_weights(), **PRETRAINED}


@functools.cache
def _pixels_by_file() -> Mapping[str, Pixels]:
    """The normalization by file name, with and without the hash.

    If two names differ only in the hash, the name without it refers to MMDetection's file.
    """
    named = [(file.name, w.pixels) for w in all_pretrained().values() for file in w.files]
    return {**{_stem(name): pixels for name, pixels in named}, **dict(named)}


def pixels_of(backbone: BackboneConfig) -> Pixels:
    """The normalization that the backbone's weights expect; torchvision's if there are none.

    A file whose name matches a published one, except for the hash, has its normalization. Any other
    ``.pkl`` file has Caffe's, like those of Detectron2, and any other file torchvision's.
    """
    name = backbone.pretrained_name
    if name is None:
        return TORCHVISION
    if name.startswith(SCHEME):
        return timm_pixels(name)
    if not is_file_name(name):
        return published_pretrained(name).pixels
    by_file = _pixels_by_file()
    known = by_file.get(Path(name).name, by_file.get(_stem(name)))
    if known is not None:
        return known
    return CAFFE if Path(name).suffix == ".pkl" else TORCHVISION


def find_pretrained(name: str, unreachable: set[str] | None = None) -> Path:
    """Returns the local file of the weights called ``name``, downloaded if necessary.

    ``unreachable``: see :func:`find_published_file`. Raises :class:`CheckpointError`, naming the
    file and the places searched, if there is none.
    """
    if name.startswith(SCHEME):
        raise CheckpointError(f"model.backbone.pretrained: {name}: only works with a timm backbone")
    if is_file_name(name):
        file = local_file(name)
        if not file.is_file():
            raise CheckpointError(
                f"model.backbone.pretrained: {name}: no such file. Give the path of a file with "
                "backbone weights, or train without pretrained weights: --from-scratch."
            )
        return file
    return find_published_file(
        published_pretrained(name).files,
        f"pretrained weights {name!r}",
        "train without pretrained weights: --from-scratch",
        unreachable,
    )


def name_of(address: str) -> str | None:
    """The name of the published weights with a file at ``address``; None if there are none."""
    wanted = _without_scheme(address)
    for name, weights in all_pretrained().items():
        for file in weights.files:
            if wanted in map(_without_scheme, file.addresses):
                return name
    return None


def _without_scheme(address: str) -> str:
    return urllib.parse.unquote(address.partition("://")[2])


def is_file_name(name: str) -> bool:
    """Whether ``name`` is a path or an address of a file rather than a name of published
    weights."""
    if name in PRETRAINED:
        return False
    return is_address(name) or ("://" not in name and Path(name).suffix in SUFFIXES)


def published_pretrained(name: str) -> PretrainedWeights:
    """The published weights called ``name``. Raises :class:`ConfigError` if there are none."""
    known = all_pretrained()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        listed = ", ".join(near or known)
        raise ConfigError(
            f"model.backbone.pretrained: no weights are called {name!r} "
            f"({'the closest names are' if near else 'known:'} {listed}). "
            f"The path of a file is also accepted, if it ends with one of {', '.join(SUFFIXES)}."
        )
    return known[name]
