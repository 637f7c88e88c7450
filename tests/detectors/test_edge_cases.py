"""Unusual ground truth and unusual predictions, in every kind of detector."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from detzoo.detectors.base import Detector
from detzoo.detectors.proposal_only import ProposalOnly
from detzoo.detectors.single_stage import SingleStage
from detzoo.detectors.two_stage import TwoStage
from detzoo.structures import BitmapMasks, Detections, ImageBatch, Losses, RoIMasks, Targets
from tests.detectors import models

ORDINARY = models.targets((10, 10, 60, 70), (50, 20, 90, 60))
TARGETS = {
    "ordinary": (ORDINARY, models.targets((5, 5, 40, 50))),
    "one image without objects": (ORDINARY, models.targets()),
    "no image with objects": (models.targets(), models.targets()),
    "outside the image": (models.targets((200, 200, 240, 260)), models.targets((-50, -60, -5, -4))),
    "partly outside": (models.targets((-30, -20, 30, 40)), models.targets((60, 60, 300, 300))),
    "one pixel": (models.targets((40, 30, 41, 31)), models.targets((0, 0, 1, 1))),
    "part of a pixel": (models.targets((40.2, 30, 40.3, 31)), ORDINARY),
    "the same twice": (models.targets(*2 * [(10, 10, 60, 70)]), ORDINARY),
    "the whole image": (models.targets((0, 0, 128, 96)), ORDINARY),
}


def build(name: str) -> Detector:
    torch.manual_seed(0)
    model = models.MODELS[name].build(models.CLASSES)
    # A fresh residual block is its shortcut alone, and gives its other parts no gradient.
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model.train()


def assert_every_parameter_learns(model: Detector, losses: Losses) -> None:
    """Every loss is finite, and every parameter that can learn takes part, as DDP needs it."""
    for name, value in losses.items():
        assert value.isfinite(), name
    losses.total().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) is parameter.requires_grad, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("name", models.MODELS)
def test_training(name: str, case: str) -> None:
    model = build(name)
    losses = model(models.images(), TARGETS[case])
    assert_every_parameter_learns(model, losses)


@pytest.mark.parametrize("name", models.MODELS)
def test_inference(name: str) -> None:
    """Also with heads that were never trained."""
    model = build(name).eval()
    images = models.images(3)
    with torch.inference_mode():
        found = model(images)
    assert len(found) == 3
    for detections, info in zip(found, images.infos):
        assert (detections.scores.diff() <= 0).all()
        assert ((detections.labels >= 0) & (detections.labels < models.CLASSES)).all()
        low, high = detections.boxes[:, :2], detections.boxes[:, 2:]
        assert (low >= 0).all()
        assert (high <= torch.tensor([info.size[1], info.size[0]])).all()
        assert (detections.masks is not None) is model.config.predicts_masks


@pytest.mark.parametrize("name", ["retinanet-giou", "mask_rcnn"])
def test_training_after_inference(name: str) -> None:
    """What inference mode leaves behind (anchors) must not disturb autograd."""
    model = build(name).eval()
    odd = ImageBatch(torch.randn(1, 3, 64, 160), models.images(1).infos)
    with torch.inference_mode():
        model(odd)
    assert_every_parameter_learns(model, model.train()(odd, [ORDINARY]))


def push_everything_out(model: Detector) -> None:
    """Makes the RPN move every anchor so far to the left that nothing is in the image."""
    assert isinstance(model, TwoStage | ProposalOnly)
    nn.init.zeros_(model.rpn_head.rpn_reg.weight)
    assert model.rpn_head.rpn_reg.bias is not None
    model.rpn_head.rpn_reg.bias.data.view(-1, 4)[:, 0] = -1e4


TWO_STAGE = [name for name, config in models.MODELS.items() if "rcnn" in name]


@pytest.mark.parametrize("case", ["ordinary", "one image without objects", "no image with objects"])
@pytest.mark.parametrize("name", ["rpn", *TWO_STAGE])
def test_training_without_proposals(name: str, case: str) -> None:
    model = build(name)
    push_everything_out(model)
    assert_every_parameter_learns(model, model(models.images(), TARGETS[case]))


def assert_empty(detections: Detections, with_masks: bool) -> None:
    assert len(detections) == 0
    assert detections.boxes.shape == (0, 4)
    assert detections.scores.shape == detections.labels.shape == (0,)
    assert detections.boxes.dtype == detections.scores.dtype == torch.float32
    assert detections.labels.dtype == torch.int64
    if with_masks:
        assert isinstance(detections.masks, RoIMasks)
        assert detections.masks.probabilities.shape == (0, 28, 28) or (
            detections.masks.probabilities.shape == (0, 14, 14)
        )
    else:
        assert detections.masks is None


@pytest.mark.parametrize("name", ["rpn", *TWO_STAGE])
def test_inference_without_proposals(name: str) -> None:
    model = build(name).eval()
    push_everything_out(model)
    images = models.images()
    with torch.no_grad():
        found = model(images)
    for detections, info in zip(found, images.infos):
        assert_empty(detections, with_masks="mask" in name)
        original = detections.to_original(info)
        assert original.boxes.shape == (0, 4)
        if "mask" in name:
            assert isinstance(original.masks, BitmapMasks)
            assert original.masks.bitmaps.shape == (0, *info.original_size)
            assert original.masks.bitmaps.dtype == torch.uint8


@pytest.mark.parametrize("name", [name for name in models.MODELS if "rpn" not in name])
def test_nothing_detected(name: str) -> None:
    model = build(name).eval()
    if isinstance(model, SingleStage):
        bias = model.bbox_head.get_parameter("retina_cls.bias")
        nn.init.constant_(bias, -20.0)
    else:
        assert isinstance(model, TwoStage)
        model.roi_head.bbox_head.fc_cls.bias.data[-1] = 20.0  # background
    with torch.no_grad():
        for detections in model(models.images()):
            assert_empty(detections, with_masks="mask" in name)


@pytest.mark.parametrize("name", ["retinanet", "mask_rcnn"])
def test_autocast(name: str) -> None:
    """Losses and detections are float32 where the rest runs in bfloat16."""
    model = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(models.images(), TARGETS["one image without objects"])
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert_every_parameter_learns(model, losses)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for detections in model.eval()(models.images()):
            assert detections.boxes.dtype == detections.scores.dtype == torch.float32


def test_images_do_not_depend_on_their_neighbors() -> None:
    """The same detections alone and in a batch."""
    model = build("mask_rcnn").eval()
    both = models.images(2)
    with torch.no_grad():
        together = model(both)
        for number in range(2):
            one = ImageBatch(both.pixels[number : number + 1], both.infos[number : number + 1])
            (alone,) = model(one)
            other = together[number]
            torch.testing.assert_close(alone.boxes, other.boxes, rtol=1e-4, atol=1e-3)
            torch.testing.assert_close(alone.scores, other.scores, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(
                alone.masks.probabilities, other.masks.probabilities, rtol=1e-4, atol=1e-4
            )


def test_from_scratch_freezes_nothing_in_any_detector() -> None:
    for name, config in models.MODELS.items():
        model = config.from_scratch().build(models.CLASSES).train()
        assert all(parameter.requires_grad for parameter in model.parameters()), name
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert all(norm.training for norm in norms), name


def test_a_mask_head_wants_masks() -> None:
    model = build("mask_rcnn")
    bare = [dataclasses.replace(target, masks=None) for target in TARGETS["ordinary"]]
    with pytest.raises(AssertionError, match="trains on targets with masks"):
        model(models.images(), bare)


def test_class_agnostic_detectors_ignore_the_labels() -> None:
    losses = []
    for label in (0, 2):
        model = build("rpn")
        torch.manual_seed(1)
        given = Targets.of(ORDINARY.boxes, torch.full((2,), label))
        losses.append(model(models.images(1), [given]))
    assert losses[0] == losses[1]
    assert model.config.is_class_agnostic
    assert model.class_parameters() == {}
