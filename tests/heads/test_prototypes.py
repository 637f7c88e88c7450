"""Masks as sums of prototypes, and the semantic maps beside them."""

from __future__ import annotations

import pytest
import torch

from detzoo.heads.prototypes import (
    PrototypeMasksConfig,
    SemanticMapsConfig,
    resized_masks,
)
from detzoo.structures import BitmapMasks, ImageInfo, Targets


def targets(missing: list[bool] | None = None) -> Targets:
    """A square in the upper left quarter, of class 0, and one in the lower right, of class 2."""
    bitmaps = torch.zeros(2, 32, 32, dtype=torch.uint8)
    bitmaps[0, :16, :16] = bitmaps[1, 16:, 16:] = 1
    boxes = torch.tensor([[0.0, 0, 16, 16], [16, 16, 32, 32]])
    masks = BitmapMasks(bitmaps, None if missing is None else torch.tensor(missing))
    return Targets.of(boxes, torch.tensor([0, 2]), masks)


def test_a_mask_ends_a_cell_beyond_its_box() -> None:
    head = PrototypeMasksConfig(num_prototypes=2).build(4)
    prototypes = torch.ones(2, 8, 8)
    boxes = torch.tensor([[8.0, 16, 16, 24]])
    masks = head.masks(prototypes, torch.tensor([[2.0, 1.0]]), boxes, (32, 32))
    wanted = torch.zeros(8, 8)
    wanted[3:7, 1:5] = torch.tensor(3.0).sigmoid()
    torch.testing.assert_close(masks.probabilities[0], wanted)
    assert masks.size == (32, 32)


def loss_of_masks(target: Targets, index: list[int], **settings: int) -> float:
    head = PrototypeMasksConfig(num_prototypes=1, **settings).build(4)
    prototypes = torch.zeros(1, 1, 8, 8)
    coefficients = torch.zeros(1, len(index), 1)
    infos = [ImageInfo.of((32, 32))]
    losses = head.loss(prototypes, coefficients, torch.tensor([index]), [target], infos)
    return float(losses["loss_mask"])


def test_the_loss_of_masks() -> None:
    """With probabilities of one half everywhere, in five by five cells of eight by eight."""
    wanted = 6.125 * 25 / 64 * torch.tensor(2.0).log() / 0.25
    assert loss_of_masks(targets(), [-1, 0, -2, 1]) == pytest.approx(float(wanted))
    assert loss_of_masks(targets(), [0, 0, 0, 1], max_masks=2) == pytest.approx(float(wanted))
    assert loss_of_masks(targets(), [-1, -1]) == 0
    assert loss_of_masks(targets([False, True]), [1, 1]) == 0
    assert loss_of_masks(targets([False, True]), [0, 1]) == pytest.approx(float(wanted))


def test_each_class_learns_the_map_before_its_own() -> None:
    head = SemanticMapsConfig().build(4, 3)
    logits = torch.full((2, 3, 8, 8), -20.0)
    logits[0, 2, :4, :4] = logits[0, 1, 4:, 4:] = 20.0
    nothing = Targets.of(
        torch.zeros(0, 4), torch.zeros(0).long(), BitmapMasks(torch.zeros(0, 8, 8))
    )
    assert float(head.loss(logits, [targets(), nothing])["loss_segm"]) < 1e-6
    # An image without objects says nothing, and nor does the class of an object without a mask.
    assert float(head.loss(logits.flip(0), [nothing, targets()])["loss_segm"]) < 1e-6
    wrong = logits.clone()
    wrong[0, 1] = 20.0
    assert float(head.loss(wrong, [targets(), nothing])["loss_segm"]) > 1
    assert float(head.loss(wrong, [targets([False, True]), nothing])["loss_segm"]) < 1e-6


def test_resized_masks() -> None:
    small = resized_masks(targets(), (2, 2))
    assert small.tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]
