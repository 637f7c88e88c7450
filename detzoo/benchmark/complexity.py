"""Parameters and floating-point operations (FLOPs) of each part of a detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detzoo.detectors.base import Detector
from detzoo.structures import Batch, ImageInfo


@dataclass(frozen=True)
class PartComplexity:
    """The parameters of a part, and its FLOPs for one image, two per multiply-add."""

    name: str
    parameters: int
    flops: int


def measure_complexity(model: Detector, height: int, width: int) -> list[PartComplexity]:
    """Measures the complexity of each direct child of ``model`` for one image of this size, by
    running it once.

    Counts the operations of convolutions, matrix products, attention and deformable convolutions,
    as PyTorch does, but not those of norms, activations, RoIAlign and NMS. MMDetection's
    ``get_flops`` counts a multiply-add once: halve these numbers to compare.
    """
    channels = len(model.pixel_mean)
    pixels = torch.zeros((1, height, width, channels), dtype=torch.uint8)
    info = replace(ImageInfo.of((height, width)), padded_size=(height, width))
    batch = Batch(pixels, (info,))
    counter = _counter()
    model = model.eval()
    with torch.no_grad(), counter:
        model(model.preprocess(batch))
    counts = counter.get_flop_counts()
    root = type(model).__name__
    return [
        PartComplexity(name, _parameters(part), sum(counts.get(f"{root}.{name}", {}).values()))
        for name, part in model.named_children()
    ]


def count_operations(run: Callable[[], object]) -> int:
    """Counts the FLOPs of a call of ``run``, such as a forward pass or a complete training step."""
    with _counter() as counter:
        run()
    return counter.get_total_flops()


def _counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping=_deformable_mapping())


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _deformable_mapping() -> dict[Any, Callable[..., int]]:
    """FLOP counters for torchvision's deformable convolution, which PyTorch does not count."""

    def count(
        x: torch.Size, weight: torch.Size, *_: object, out_shape: torch.Size, **__: object
    ) -> int:
        return 2 * weight.numel() * out_shape[0] * out_shape[2] * out_shape[3]

    return {torch.ops.torchvision.deform_conv2d: count}
