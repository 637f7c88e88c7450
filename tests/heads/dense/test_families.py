"""The steps in which families of dense heads differ, against slow readable references."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from detzoo.heads.dense.autoassign import CenterPrior, background_weights
from detzoo.heads.dense.centerness import centerness_target
from detzoo.heads.dense.fovea import FeatureAlign
from detzoo.heads.dense.free_anchor import FreeAnchorHead, FreeAnchorHeadConfig
from detzoo.heads.dense.fsaf import on_best_level
from detzoo.heads.dense.gfl import Integral
from detzoo.heads.dense.paa import PAAHeadConfig, vote
from detzoo.heads.dense.reppoints import enclose, grid_over_box
from detzoo.heads.dense.yolof import joint_logits
from detzoo.layers.norm import GroupNormConfig
from detzoo.layers.shifted_conv import ShiftedConv2d
from detzoo.ops.boxes import pairwise_iou
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.points import PointGrid
from detzoo.structures import Candidates, DensePredictions, Detections, ImageInfo, Priors, Targets
from detzoo.zoo.fcos import fcos

CPU = torch.device("cpu")


def test_centerness() -> None:
    distances = torch.tensor(
        [[4.0, 2, 4, 2], [1, 2, 4, 8], [0, 2, 4, 2], [-1, 2, 4, 2], [0, 0, 0, 0]]
    )
    wanted = [1.0, math.sqrt(1 / 4 * 2 / 8), 0, 0, 0]
    assert centerness_target(distances).tolist() == pytest.approx(wanted)


def test_integral() -> None:
    logits = torch.full((2, 4, 5), -100.0)
    logits[0, :, 3] = 0.0
    logits[1, :, 1:3] = 0.0
    found = Integral(4)(logits.flatten(1))
    torch.testing.assert_close(found, torch.tensor([[3.0] * 4, [1.5] * 4]))


def test_the_best_of_levels() -> None:
    values = torch.tensor([0.1, 0.5, 0.3, 0.9, 0.2])
    priors = Priors(torch.zeros(5, 4), torch.ones(5), (3, 2), ((1, 3), (1, 2)))
    assert priors.best_of_levels(values, 2).tolist() == [1, 2, 3, 4]
    assert priors.best_of_levels(values, 1).tolist() == [1, 3]
    assert priors.best_of_levels(values, None).tolist() == [0, 1, 2, 3, 4]
    images = torch.stack([values, -values])
    assert priors.best_of_levels(images, 1).tolist() == [[1, 3], [0, 4]]
    assert priors.best_of_levels(images, None).tolist() == [[0, 1, 2, 3, 4]] * 2


def test_votes() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [0, 0, 10, 10], [50, 50, 60, 60]])
    scores, labels = torch.tensor([0.9, 0.6, 0.8, 0.7]), torch.tensor([1, 1, 0, 1])
    candidates = Candidates(boxes, scores, labels, labels)
    found = vote(Detections(boxes[[0, 3]], scores[[0, 3]], labels[[0, 3]]), candidates)
    weight = 0.6 * math.exp(-((1 - 8 / 12) ** 2) / 0.025)
    shift = 2 * weight / (0.9 + weight)
    torch.testing.assert_close(
        found.boxes, torch.tensor([[shift, 0, 10 + shift, 10], [50.0, 50, 60, 60]])
    )
    assert torch.equal(found.scores, scores[[0, 3]])
    nothing = vote(Detections.empty(), candidates[:0])
    assert nothing.boxes.shape == (0, 4)
    parts: dict[str, Any] = {"num_convs": 1, "channels": 8, "norm": None}
    for votes, left in ((True, shift), (False, 0.0)):
        head = PAAHeadConfig(**parts, votes=votes).build((8,) * 5, (8, 16, 32, 64, 128), 2)
        (found,) = head.select([candidates])
        assert found.boxes[0, 0].item() == pytest.approx(left)


def test_each_target_learns_on_its_best_level() -> None:
    priors = PointGrid().place(((2, 2), (1, 2)), (8, 16), CPU)
    index = torch.tensor([0, 0, 1, -1, 0, -2])
    loss = torch.tensor([1.0, 5.0, 9.0, 0.0, 2.0, 0.0])
    # Target 0 has a mean loss of 3 on the first level and of 2 on the second; target 1 is on the
    # first alone, target 2 on none.
    learns = on_best_level(loss, index, 3, priors)
    assert learns.tolist() == [False, False, True, False, True, False]
    assert not on_best_level(loss, index.clamp(max=-1), 0, priors).any()


def test_boxes_around_points() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn((5, 9, 2), generator=generator)
    low, high = points.amin(1), points.amax(1)
    torch.testing.assert_close(enclose(points, "minmax"), torch.cat([low, high], 1))
    four = points[:, :4]
    wanted = torch.cat([four.amin(1), four.amax(1)], 1)
    torch.testing.assert_close(enclose(points, "partial_minmax"), wanted)
    scale = torch.tensor([0.1, -0.2])
    half = points.std(1) * scale.exp()
    wanted = torch.cat([points.mean(1) - half, points.mean(1) + half], 1)
    torch.testing.assert_close(enclose(points, "moment", scale), wanted)


def test_points_that_are_one_have_a_gradient() -> None:
    points = torch.ones((2, 9, 2), requires_grad=True)
    enclose(points, "moment", torch.zeros(2)).sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_grid_over_boxes() -> None:
    # From -2 to 2, moved by a quarter of its width and by nothing, twice as wide.
    deltas = torch.tensor([0.25, 0.0, math.log(2), 0.0]).view(1, 4, 1, 1)
    unit = torch.tensor([-2.0, -2.0, 2.0, 2.0]).view(1, 4, 1, 1)
    points, box = grid_over_box(deltas, unit)
    torch.testing.assert_close(box.flatten(), torch.tensor([-3.0, -2.0, 5.0, 2.0]))
    wanted = [[y, x] for y in (-2.0, 0.0, 2.0) for x in (-3.0, 1.0, 5.0)]
    torch.testing.assert_close(points.view(9, 2), torch.tensor(wanted))


def test_joint_logits() -> None:
    logits, objectness = torch.randn(2, 3, 4), torch.randn(2, 3, 1)
    either, both = logits.exp() + objectness.exp(), logits.exp() * objectness.exp()
    # The odds of both are those of the product of the probabilities.
    torch.testing.assert_close(joint_logits(logits, objectness).exp(), both / (1 + either))
    product = logits.sigmoid() * objectness.sigmoid()
    torch.testing.assert_close(joint_logits(logits, objectness).sigmoid(), product)
    extreme = torch.tensor([1e4, -1e4], requires_grad=True)
    joint_logits(extreme, extreme.flip(0)).sum().backward()
    assert extreme.grad is not None
    assert extreme.grad.isfinite().all()


def test_center_prior() -> None:
    prior = CenterPrior(3)
    with torch.no_grad():
        prior.mean[2] = torch.tensor([1.0, 0.0])
        prior.sigma[2] = torch.tensor([2.0, 0.5])
    priors = PointGrid(offset=0.0).place(((2, 2),), (8,), CPU)
    targets = Targets.of(torch.tensor([[0.0, 0, 16, 16], [0, 0, 16, 16]]), torch.tensor([0, 2]))
    found = prior(priors, targets)
    # The points are a stride from the center (8, 8), or half a stride where it is that near.
    shifts = [(-1, -1), (0, -1), (-1, 0), (0, 0)]
    plain = [math.exp(-(x * x + y * y) / 2) for x, y in shifts]
    moved = [math.exp(-((x - 1) ** 2) / 8 - y * y / 0.5) for x, y in shifts]
    torch.testing.assert_close(found, torch.tensor([plain, moved]).T)


def slow_background(
    boxes: torch.Tensor, targets: Targets, inside: torch.Tensor, num_classes: int
) -> torch.Tensor:
    result = torch.ones((len(boxes), num_classes))
    best = pairwise_iou(boxes, targets.boxes).amax(1)
    for number, label in enumerate(targets.labels.tolist()):
        points = inside[:, number].nonzero()[:, 0].tolist()
        if not points:
            continue
        merit = {p: 1 / max(1 - best[p].item(), 1e-12) for p in points}
        low, high = min(merit.values()), max(merit.values())
        for p in points:
            result[p, label] = 1 - (merit[p] - low + 1e-12) / (high - low + 1e-12)
    return result


def test_background_weights_equal_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand((12, 2), generator=generator) * 10
    boxes = torch.cat([corner, corner + 5 + torch.rand((12, 2), generator=generator) * 9], 1)
    targets = Targets.of(boxes[:4] + 1, torch.tensor([0, 2, 0, 1]))
    inside = torch.rand((12, 4), generator=generator) > 0.4
    inside[:, 3] = False
    found = background_weights(boxes, targets, inside, 4)
    torch.testing.assert_close(
        found, slow_background(boxes, targets, inside, 4), atol=1e-5, rtol=1e-4
    )
    none = Targets.of(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    assert (background_weights(boxes, none, inside[:, :0], 4) == 1).all()


def test_shifted_convolution() -> None:
    conv = ShiftedConv2d(3, 2)
    x = torch.randn(1, 3, 6, 7)
    plain = F.conv2d(x, conv.weight, padding=1)
    torch.testing.assert_close(conv(x, torch.zeros(1, 18, 6, 7)), plain, atol=1e-5, rtol=1e-4)
    # All samples one cell further down and right.
    moved = conv(x, torch.ones(1, 18, 6, 7))
    torch.testing.assert_close(moved[..., :-2, :-2], plain[..., 1:-1, 1:-1], atol=1e-5, rtol=1e-4)


def test_features_follow_the_boxes() -> None:
    align = FeatureAlign(4, 8)
    x = torch.randn(1, 4, 5, 5)
    near, far = align(x, torch.ones(1, 4, 5, 5)), align(x, torch.full((1, 4, 5, 5), 9.0))
    assert near.shape == (1, 8, 5, 5)
    assert not torch.allclose(near, far)


def free_anchor() -> FreeAnchorHead:
    config = FreeAnchorHeadConfig(
        priors=AnchorGrid(scales=(1.0,), ratios=(1.0,)), num_convs=1, channels=8
    )
    return config.build((8,), (8,), 3)


def test_likely_objects() -> None:
    """From nothing at the least overlap to one at the best box; per class the best target's."""
    head = free_anchor()
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5], [20, 20, 30, 30]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 31], [0, 0, 10, 9]])
    targets = Targets.of(boxes, torch.tensor([1, 2, 1]))
    found = head._object_probability(anchors, torch.zeros(4, 4), targets)
    iou = pairwise_iou(boxes, anchors)
    best = iou.amax(1, keepdim=True)
    likely = ((iou - 0.6) / (best - 0.6)).clamp(0, 1)
    assert found.shape == (4, 3)
    assert not found[:, 0].any()
    torch.testing.assert_close(found[:, 1], torch.maximum(likely[0], likely[2]))
    torch.testing.assert_close(found[:, 2], likely[1])


def test_bags_are_softer_maxima() -> None:
    head = free_anchor()
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30]])
    targets = Targets.of(anchors[:1], torch.tensor([1]))
    probability = torch.tensor([[0.1, 0.9, 0.1], [0.1, 0.3, 0.1], [0.1, 0.5, 0.1]])
    found = head._positive_bags(anchors, probability, torch.zeros(3, 4), targets)
    box = head.config.box_loss
    codes = head.config.coder.encode(anchors, targets.boxes.expand(3, 4))
    p = probability[:, 1] * (-box.weight * box.per_example(torch.zeros(3, 4), codes)).exp()
    weight = 1 / (1 - p)
    wanted = -(weight * p).sum().div(weight.sum()).log()
    torch.testing.assert_close(found, wanted)


def test_quality_counts_after_the_choice_of_candidates() -> None:
    """The threshold and the best of a level are by the class score alone."""

    config = fcos().model.bbox_head
    config = dataclasses.replace(
        config,
        channels=8,
        num_convs=1,
        norm=GroupNormConfig(groups=2),
        select=dataclasses.replace(config.select, pre_nms=2),
    )
    head = config.build((8,), (8,), 3)
    priors = config.priors.place(((2, 2),), (8,), CPU)
    logits = torch.full((1, 4, 3), -20.0)
    scores = torch.tensor([0.9, 0.8, 0.7, 0.04])
    logits[0, :, 1] = scores.logit()
    quality = torch.tensor([[0.01, 0.5, 1.0, 1.0]])
    made = DensePredictions(logits, torch.full((1, 4, 4), 2.0), priors, quality.logit(eps=1e-6))
    (found,) = head.decode(made, [ImageInfo.of((16, 16))])
    assert found.scores.tolist() == pytest.approx([0.009, 0.4], rel=1e-4)
    assert found.boxes.tolist() == [[2, 2, 6, 6], [10, 2, 14, 6]]
