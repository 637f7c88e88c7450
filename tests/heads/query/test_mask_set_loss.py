"""Matching and losses of masks, on hand-written ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from detzoo.assigners.hungarian import ProbabilityCost
from detzoo.assigners.mask_hungarian import MaskHungarianAssigner
from detzoo.config import ConfigError
from detzoo.heads.query.mask_set_loss import (
    MaskQueryPredictions,
    MaskSetLoss,
    MaskTargets,
    Points,
)
from detzoo.losses.classification import SoftmaxCrossEntropy
from detzoo.losses.masks import MaskCrossEntropy, MaskDiceLoss
from detzoo.structures import BACKGROUND

SIZE = (8, 8)
ALL_PIXELS = MaskSetLoss(
    assigner=MaskHungarianAssigner(
        class_cost=ProbabilityCost(), mask_cost=MaskCrossEntropy(), dice_cost=MaskDiceLoss()
    ),
    classification_loss=SoftmaxCrossEntropy(),
    background_weight=0.1,
    mask_loss=MaskCrossEntropy(weight=5.0),
    dice_loss=MaskDiceLoss(weight=2.0),
    points=None,
)
SAMPLED = MaskSetLoss(points=Points(count=500))


def halves() -> Tensor:
    """(2, H, W) the left and the right half of the image."""
    left = torch.zeros(SIZE, dtype=torch.uint8)
    left[:, :4] = 1
    return torch.stack([left, 1 - left])


def targets(*labels: int, is_missing: Tensor | None = None) -> MaskTargets:
    return MaskTargets(torch.tensor(labels).long(), halves()[: len(labels)], is_missing)


def predictions(stages: int = 1, num_queries: int = 3) -> MaskQueryPredictions:
    """Queries without an opinion on classes; the last sees the left half, the one before the right.

    Masks have half the size of the input.
    """
    masks = torch.zeros(num_queries, 4, 4)
    masks[-1, :, :2], masks[-1, :, 2:] = 10.0, -10.0
    masks[-2] = -masks[-1]
    logits = torch.zeros(stages, 1, num_queries, 3)
    return MaskQueryPredictions(logits, tuple(masks[None].clone() for _ in range(stages)), SIZE)


@pytest.mark.parametrize("loss", [ALL_PIXELS, SAMPLED])
def test_masks_decide_between_equal_classes(loss: MaskSetLoss) -> None:
    torch.manual_seed(0)
    given = predictions(stages=2)
    index = loss.match(given, [targets(0, 1)])
    assert index.tolist() == [[[BACKGROUND, 1, 0]]] * 2
    given.logits[1, 0, 0, 1] = 100.0  # certain of the right half's class, for more than its mask
    assert ALL_PIXELS.match(given, [targets(0, 1)])[0].tolist() == [[BACKGROUND, 1, 0]]
    sure = MaskSetLoss(
        assigner=MaskHungarianAssigner(class_cost=ProbabilityCost(weight=50.0)), points=loss.points
    )
    assert sure.match(given, [targets(0, 1)])[1].tolist() == [[1, BACKGROUND, 0]]


def test_losses_of_all_pixels() -> None:
    """A query that is of two minds, matched with the left half."""
    given = predictions(num_queries=2)
    given.masks[0][:] = 0.0
    index = torch.tensor([[[BACKGROUND, 0]]])
    losses = ALL_PIXELS(given, index, [targets(0)])
    assert losses["loss_cls"].tolist() == pytest.approx([math.log(3)])
    assert losses["loss_mask"].tolist() == pytest.approx([5 * math.log(2)])
    # Half of 64 pixels, of which 32 are in the mask.
    assert losses["loss_dice"].tolist() == pytest.approx([2 * (1 - (32 + 1) / (32 + 32 + 1))])


def test_losses_at_random_points_are_about_those_of_all_pixels() -> None:
    torch.manual_seed(0)
    given = predictions(num_queries=2)
    given.masks[0][:] = 1.0
    index = torch.tensor([[[1, 0]]])
    anywhere = MaskSetLoss(points=Points(count=20_000, uncertain_part=0.0))
    whole = MaskSetLoss(points=None)
    found, wanted = (loss(given, index, [targets(0, 1)]) for loss in (anywhere, whole))
    torch.testing.assert_close(found["loss_mask"], wanted["loss_mask"], rtol=0.01, atol=0)


def test_uncertain_points_are_at_borders() -> None:
    """All but a part of the image is certain, and right: what is left to learn is there."""
    torch.manual_seed(0)
    given, index = predictions(num_queries=2), torch.tensor([[[1, 0]]])
    parts = [0.0, 0.75, 1.0]
    losses = [
        MaskSetLoss(points=Points(count=5000, uncertain_part=part))(given, index, [targets(0, 1)])
        for part in parts
    ]
    few, more, all_of_them = (one["loss_mask"].item() for one in losses)
    assert 1.5 * few < more < all_of_them


@pytest.mark.parametrize("loss", [ALL_PIXELS, SAMPLED])
def test_objects_without_a_mask_are_matched_by_class(loss: MaskSetLoss) -> None:
    torch.manual_seed(0)
    given = predictions()
    given.logits[0, 0, 0, 1] = 5.0
    of_two = targets(0, 1, is_missing=torch.tensor([False, True]))
    index = loss.match(given, [of_two])
    assert index.tolist() == [[[1, BACKGROUND, 0]]]
    losses = loss(given, index, [of_two])
    torch.manual_seed(1)
    alone = loss(given, torch.tensor([[[BACKGROUND, BACKGROUND, 0]]]), [targets(0)])
    torch.manual_seed(1)
    losses = loss(given, index, [of_two])
    for name in ("loss_mask", "loss_dice"):
        assert losses[name].item() == alone[name].item()
    assert losses["loss_cls"] < alone["loss_cls"]


@pytest.mark.parametrize("loss", [ALL_PIXELS, SAMPLED])
def test_no_objects(loss: MaskSetLoss) -> None:
    given = predictions(stages=2)
    for tensor in (given.logits, *given.masks):
        tensor.requires_grad_()
    index = loss.match(given, [targets()])
    assert (index == BACKGROUND).all()
    losses = loss(given, index, [targets()])
    assert losses["loss_mask"].tolist() == losses["loss_dice"].tolist() == [0, 0]
    torch.stack(list(losses.values())).sum().backward()
    for tensor in given.masks:
        assert tensor.grad is not None
        assert not tensor.grad.any()
    assert given.logits.grad is not None
    assert given.logits.grad.any()


def test_images_of_a_batch_have_their_own_objects() -> None:
    """In one batch or in two, up to what losses are divided by."""
    torch.manual_seed(0)
    logits, masks = torch.randn(1, 2, 3, 3), torch.randn(2, 3, 4, 4)
    both = MaskQueryPredictions(logits, (masks,), SIZE)
    of_both = [targets(0, 1), targets(1)]
    index = ALL_PIXELS.match(both, of_both)
    joined = ALL_PIXELS(both, index, of_both)
    total = {"loss_mask": 0.0, "loss_dice": 0.0}
    for image, own in enumerate(of_both):
        one = MaskQueryPredictions(logits[:, [image]], (masks[[image]],), SIZE)
        own_index = ALL_PIXELS.match(one, [own])
        assert torch.equal(own_index[:, 0], index[:, image])
        losses = ALL_PIXELS(one, own_index, [own])
        for name in total:
            total[name] += losses[name].item() * len(own)
    for name, value in total.items():
        assert joined[name].item() == pytest.approx(value / 3)


def test_points_to_select_from() -> None:
    with pytest.raises(ConfigError, match="oversampling"):
        Points(oversampling=0.5, uncertain_part=0.75)
