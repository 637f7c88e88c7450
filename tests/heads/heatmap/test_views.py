"""What detectors of keypoints make of mirrored views."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from detzoo.data.sample import Sample, apply
from detzoo.data.transforms import CenterPad
from detzoo.data.tta import TTA
from detzoo.heads.heatmap.centernet import CenterMaps, CenterNetHead, CenterNetHeadConfig
from detzoo.structures import ImageInfo, Targets
from tests.data.files import noise

FLIP = TTA(flips=("horizontal",))


def test_centernet_averages_over_a_view_and_its_mirror_image() -> None:
    head = CenterNetHead(CenterNetHeadConfig(num_peaks=1), (8,), 2)
    plain = ImageInfo.of((32, 48))
    mirrored = dataclasses.replace(plain, flip="horizontal")
    heat = torch.full((1, 2, 8, 12), -10.0)
    heat[0, 1, 3, 2] = 2.0
    other = torch.full((1, 2, 8, 12), -10.0)
    other[0, 1, 3, 9] = 0.0  # the same cell, mirrored
    size, offset = torch.full((1, 2, 8, 12), 2.0), torch.full((1, 2, 8, 12), 0.5)
    views = [
        (CenterMaps(heat, size, offset), (plain,)),
        (CenterMaps(other, size * 2, offset * 0), (mirrored,)),
    ]
    (candidates,) = head.decode_views(views)
    assert candidates.labels.tolist() == [1]
    torch.testing.assert_close(
        candidates.scores, (torch.tensor([2.0]).sigmoid() + torch.tensor([0.0]).sigmoid()) / 2
    )
    # A box of 3 cells, the mean of 2 and 4, around (2.5, 3.5) cells of 4 pixels.
    torch.testing.assert_close(candidates.boxes, torch.tensor([[4.0, 8.0, 16.0, 20.0]]))


def test_a_view_is_mirrored_with_its_padding() -> None:
    """So the maps of both views lie on each other, whatever the width of the image."""
    nothing = Targets.of(torch.zeros(0, 4), torch.zeros(0).long())
    sample = Sample(noise(20, 33), nothing, ImageInfo.of((20, 33)))
    plain, mirrored = (
        apply(transforms, sample, np.random.default_rng(0))
        for transforms in FLIP.pipelines((CenterPad(bits=31, extra=1),))
    )
    assert plain.image.shape == (32, 64, 3)
    assert np.array_equal(mirrored.image, plain.image[:, ::-1])
    box = torch.tensor([[3.0, 4.0, 10.0, 12.0]])
    for view in (plain, mirrored):
        torch.testing.assert_close(view.info.to_original(view.info.to_input(box)), box)
