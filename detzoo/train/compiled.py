"""Training with a compiled backbone and neck (``torch.compile``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from detzoo.detectors.base import Detector
from detzoo.inference.compiled import make_room, padded
from detzoo.structures import ImageBatch, Losses, Targets


class CompiledTraining(nn.Module):
    """The losses of ``detector``, whose backbone and neck are compiled.

    Images are padded to multiples of 128 pixels for them, so that batches of many sizes share a few
    programs; each is compiled as it is needed first. Feature maps are cropped again: heads and
    targets are as without. Where batch norms are trained, whose statistics would see the padding,
    nothing is padded, and every size has its own program. Parameters are the detector's own.
    """

    def __init__(self, detector: Detector, backend: Any = "inductor") -> None:
        super().__init__()
        make_room()
        self.detector = detector
        self._pads = not any(
            isinstance(module, _BatchNorm) and module.training for module in detector.modules()
        )
        self._extract = torch.compile(detector.extract_features, dynamic=False, backend=backend)

    def forward(self, images: ImageBatch, targets: Sequence[Targets]) -> Losses:
        if not self._pads:
            features = self._extract(images.pixels)
            return Losses.of(self.detector.losses(features, images, targets))
        height, width = images.pixels.shape[2:]
        features = tuple(
            x[:, :, : math.ceil(height / stride), : math.ceil(width / stride)]
            for x, stride in zip(
                self._extract(padded(images).pixels), self.detector.feature_strides
            )
        )
        return Losses.of(self.detector.losses(features, images, targets))
