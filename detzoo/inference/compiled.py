"""Detectors whose backbone and neck are compiled (``torch.compile``)."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import torch
import torch.nn.functional as F

from detzoo.detectors.base import Detector
from detzoo.errors import ConfigError
from detzoo.structures import ImageBatch

# The sides of compiled inputs are multiples of it: images of many sizes share a few programs.
BUCKET = 128
# Programs that PyTorch keeps: a recipe with sides of up to 1333 pixels needs about thirty.
MOST_PROGRAMS = 64


def compile_detector(model: Detector, backend: Any = "inductor") -> Detector:
    """A detector with the tensors of ``model``, whose backbone and neck are compiled.

    Inputs are padded to multiples of 128 pixels, and there is one program per size and batch size;
    each is compiled as it is needed first, which takes from seconds to minutes. Raises
    :class:`ConfigError` for an exported detector.
    """
    if not list(model.children()):
        raise ConfigError("--compile: an exported detector is compiled as it is")
    make_room()
    twin: Any = copy.copy(model)
    twin.preprocess = lambda batch: padded(model.preprocess(batch))
    twin.extract_features = torch.compile(model.extract_features, dynamic=False, backend=backend)
    return twin


def make_room() -> None:
    """Has PyTorch keep a program for each size."""
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, MOST_PROGRAMS)


def padded(images: ImageBatch) -> ImageBatch:
    """Padded with zeros at the right and bottom to multiples of 128 pixels."""
    height, width = images.pixels.shape[2:]
    right, below = (math.ceil(side / BUCKET) * BUCKET - side for side in (width, height))
    return dataclasses.replace(images, pixels=F.pad(images.pixels, (0, right, 0, below)))
