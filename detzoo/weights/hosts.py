"""The hosts that weights are downloaded from, and where their addresses are documented.

This is the only place that names a host of MMDetection's files or of other projects' backbones;
torchvision and timm know their own addresses. Imports nothing heavy.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """A server of weights.

    ``root`` is the start of its addresses, ``documented`` a public page that contains some of them.
    """

    root: str
    description: str
    documented: str

    def at(self, path: str) -> str:
        """The address of the file at ``path``."""
        return f"{self.root}/{urllib.parse.quote(path)}"

    def path_of(self, address: str) -> str | None:
        """The path of the file at ``address``, if it is on this host."""
        scheme, separator, rest = address.partition("://")
        own = self.root.partition("://")[2] + "/"
        if not separator or scheme not in ("http", "https") or not rest.startswith(own):
            return None
        return urllib.parse.unquote(rest.removeprefix(own).partition("?")[0])


# The host in MMDetection's configurations.
OPENMMLAB_PAST = Host(
    "https://download.openmmlab.com",
    "OpenMMLab's own host, gone since June 2026",
    "https://github.com/open-mmlab/mmdetection/blob/v2.28.2/docs/en/model_zoo.md",
)
# Hosts of OpenMMLab's files, in the order in which they are tried. Paths are the same on all.
OPENMMLAB = (
    Host(
        "https://mmassets.onedl.ai",
        "mirror of the maintained fork, OneDL",
        "https://github.com/VBTI-development/onedl-mmdeploy/blob/main/docs/en/get_started.md",
    ),
    Host(
        "https://pub-ed9ed750ddcc469da251e2d1a2cea382.r2.dev",
        "the same mirror, by its first address",
        "https://github.com/VBTI-development/onedl-mmdetection/blob/main/docs/en/model_zoo.md",
    ),
    OPENMMLAB_PAST,
    Host(
        "https://open-mmlab.s3.ap-northeast-2.amazonaws.com",
        "OpenMMLab's host before that, left in 2020",
        "https://github.com/open-mmlab/mmdetection/blob/v2.0.0/docs/model_zoo.md",
    ),
)
DETECTRON2 = Host(
    "https://dl.fbaipublicfiles.com/detectron2",
    "Detectron2's own host",
    "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md",
)
DETECTRON = Host(
    "https://dl.fbaipublicfiles.com/detectron",
    "Detectron's own host",
    "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md",
)
PYCLS = Host(
    "https://dl.fbaipublicfiles.com/pycls",
    "pycls' own host",
    "https://github.com/facebookresearch/pycls/blob/main/pycls/models/model_zoo.py",
)
PVT = Host(
    "https://github.com/whai362/PVT/releases/download/v2",
    "the authors' releases",
    "https://github.com/whai362/PVT/blob/v2/classification/README.md",
)
SWIN = Host(
    "https://github.com/SwinTransformer/storage/releases/download",
    "the authors' releases",
    "https://github.com/microsoft/Swin-Transformer/blob/main/MODELHUB.md",
)
SWIN = Host(
    "https://github.com/SwinTransformer/storage/releases/download",
    "the authors' releases",
    "https://github.com/microsoft/Swin-Transformer",
)
TORCHVISION = Host(
    "https://download.pytorch.org/models",
    "torchvision's own host",
    "https://pytorch.org/vision/stable/models.html",
)
HOSTS = (*OPENMMLAB, DETECTRON2, DETECTRON, PYCLS, PVT, SWIN, TORCHVISION)


def host_of(address: str) -> Host | None:
    """The host in this table that ``address`` belongs to."""
    return next((host for host in HOSTS if host.path_of(address) is not None), None)
