"""RoIAlign over a feature pyramid, as torchvision computes it."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from benchmarks.ops.pair import Run, pair
from detzoo.ops.roi_align import pyramid_level, pyramid_roi_align

STRIDES = (4, 8, 16, 32)
HEIGHT, WIDTH, REGIONS = 800, 1216, 1000


def prepare_roi_align(device: torch.device, *, training: bool) -> tuple[Run, Run]:
    """The 1000 proposals of Faster R-CNN in a picture of 800 x 1216."""
    generator = torch.Generator().manual_seed(0)
    maps = [
        torch.randn((1, 256, HEIGHT // stride, WIDTH // stride), generator=generator)
        .contiguous(memory_format=torch.channels_last)
        .to(device)
        for stride in STRIDES
    ]
    size = torch.tensor([WIDTH, HEIGHT])
    low = torch.rand((REGIONS, 2), generator=generator) * size * 0.8
    # Proposals are small more often than large.
    side = 16 + torch.rand((REGIONS, 2), generator=generator).pow(3) * size * 0.6
    boxes = torch.cat([low, torch.minimum(low + side, size)], 1)
    rois = torch.cat([torch.zeros(REGIONS, 1), boxes], 1).to(device)

    def ours(*features: Tensor) -> Tensor:
        return pyramid_roi_align(
            features,
            STRIDES,
            rois,
            output_size=7,
            sampling_ratio=0,
            aligned=True,
            finest_scale=56.0,
        )

    return pair(lambda *features: by_torchvision(features, rois), ours, maps, training=training)


def by_torchvision(features: tuple[Tensor, ...], rois: Tensor) -> Tensor:
    """Level by level, then in the order of the regions."""
    level = pyramid_level(rois, len(features), 56.0)
    positions = [(level == number).nonzero()[:, 0] for number in range(len(features))]
    pooled = [
        torchvision.ops.roi_align(feature, rois[position], (7, 7), 1 / stride, 0, True)
        for feature, stride, position in zip(features, STRIDES, positions)
    ]
    return torch.cat(pooled)[torch.cat(positions).argsort()]
