"""A detector of every family, fused or not, detects the same, before and after it has learned."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from benchmarks.learning.families import CASES, Case
from benchmarks.learning.learn import narrowed
from benchmarks.learning.widths import build_narrow
from detzoo.detectors.base import Detector
from detzoo.layers.fusion import FusedConv2d, fuse
from detzoo.structures import BitmapMasks, Detections, ImageBatch, ImageInfo, Targets
from detzoo.train.teacher import give_teacher
from tests.marks import ON_CI
from tests.parity.double import float64

SIZE = 128
# Beside the classes' own: what says that there is an object, and where its mask is.
DECISIVE = ("conv_obj", "conv_mask_list", "conv_kernel", "_heat.", "fc_cls")


def images() -> ImageBatch:
    """Two images; the second is padded. With proposals, for those that look at them."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn((2, 3, SIZE, SIZE), generator=generator)
    pixels[1, :, 96:] = 0
    infos = tuple(
        dataclasses.replace(ImageInfo.of(size, id=i), padded_size=(SIZE, SIZE))
        for i, size in enumerate(((SIZE, SIZE), (96, SIZE)))
    )
    low = 60 * torch.rand((2, 20, 2), generator=generator)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return ImageBatch(pixels, infos, tuple(torch.cat([low, low + 30], 2)))


def targets() -> list[Targets]:
    boxes = torch.tensor([[10.0, 12.0, 60.0, 70.0], [50.0, 20.0, 120.0, 90.0]])
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
        mask[top:bottom, left:right] = 1
    return [
        dataclasses.replace(
            Targets.of(boxes, torch.tensor([0, 0]), BitmapMasks(masks[:, :height])),
            semantic_map=torch.zeros(height // 8, SIZE // 8, dtype=torch.uint8),
        )
        for height in (SIZE, 96)
    ]


@torch.no_grad()
def detect(model: Detector) -> list[Detections]:
    return model(images())  # type: ignore[return-value]


def assert_same(found: list[Detections], expected: list[Detections]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs) > 0
        for field in ("boxes", "scores", "labels"):
            a, b = getattr(ours, field), getattr(theirs, field)
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


# Ten seconds each and more, for what others have as well. CI runs them after the others.
LONG = ("grid_rcnn", "htc", "detectors", "groie", "scnet", "tridentnet")
MARKED = [
    pytest.param(case, id=case.name, marks=ON_CI if case.name in LONG else ()) for case in CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_the_same_before_and_after_a_step(case: Case) -> None:
    with float64():  # where nothing but a mistake makes a difference that can be seen
        model = detector(case)
        fused, before = fuse(model), detect(model)
        assert any(isinstance(module, FusedConv2d) for module in fused.modules())
        assert_same(detect(fused), before)
        step(model)
        after = detect(model.eval())
        assert_same(detect(fuse(model)), after)
        assert_same(detect(fused), before)
        assert not any(torch.equal(a.scores, b.scores) for a, b in zip(before, after))
    model.float()  # in which kernels are packed
    with torch.no_grad():
        pixels = images().pixels
        found, expected = fuse(model).extract_features(pixels), model.extract_features(pixels)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5 * float(theirs.abs().max()))


def detector(case: Case) -> Detector:
    """In evaluation, with statistics that are not trivial, sure enough to find something."""
    torch.manual_seed(0)
    experiment = narrowed(case, scenes=2, steps=2, batch=2, augment=False)
    model = build_narrow(experiment).double().to(memory_format=torch.channels_last)
    give_teacher(model, experiment.class_names)
    for name, parameter in model.named_parameters():
        if name in model.class_parameters() or any(part in name for part in DECISIVE):
            nn.init.normal_(parameter, std=0.3 if parameter.ndim > 1 else 0.0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            assert module.running_mean is not None
            nn.init.normal_(module.running_mean, std=0.2)
    if case.name == "detectors":
        keep_in_bounds(model)
    return model.eval()


@torch.no_grad()
def keep_in_bounds(model: Detector) -> None:
    """Gives batch norms the statistics of the images, for a network that looks at them twice."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.train().extract_features(images().pixels)
    for norm in norms:
        norm.momentum = 0.1


def step(model: Detector) -> None:
    losses = model.train()(images(), targets())
    losses.total().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.SGD(model.parameters(), lr=0.05, fused=True).step()
