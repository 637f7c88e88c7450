"""An object whose mask nobody drew teaches its class and box, and no mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detzoo.structures import BitmapMasks, PolygonMasks, TargetMasks, Targets
from tests.detectors import models
from tests.detectors.zoo_models import build, images, one_per_head, with_maps

FAMILIES = {e.name: e for e in one_per_head() if e.experiment.model.predicts_masks}
BOXES = ((4.0, 4.0, 60.0, 70.0), (50.0, 20.0, 110.0, 90.0))


def losses(name: str, *targets: Targets) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = build(FAMILIES[name])
    maps = with_maps(targets)
    torch.manual_seed(1)  # of sampled regions and points
    found: dict[str, Tensor] = model(images(len(targets)), maps)
    return found


def is_of_masks(name: str) -> bool:
    return any(part in name for part in ("loss_mask", "loss_point"))


def with_masks(masks: TargetMasks) -> Targets:
    return replace(models.targets(*BOXES), masks=masks)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_missing_mask_shows_does_not_matter(name: str) -> None:
    whole = models.targets(*BOXES).masks
    assert isinstance(whole, BitmapMasks)
    missing = torch.tensor([False, True])
    empty = whole.bitmaps * ~missing[:, None, None]
    a = losses(name, with_masks(BitmapMasks(whole.bitmaps, missing)))
    b = losses(name, with_masks(BitmapMasks(empty, missing)))
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)
    # An empty mask is another matter; where SOLO sees one it learns nothing of the object.
    learned = losses(name, with_masks(BitmapMasks(empty)))
    matters = "loss_cls" if "solo" in name else "loss_mask"
    assert any(key.endswith(matters) and not torch.equal(a[key], learned[key]) for key in a)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_mask_at_all(name: str) -> None:
    """Every parameter takes part all the same: distributed training waits for each of them."""
    bitmaps = torch.zeros((2, *models.SIZE), dtype=torch.uint8)
    found = losses(name, with_masks(BitmapMasks(bitmaps, torch.tensor([True, True]))))
    for key, value in found.items():
        if is_of_masks(key):
            assert value.item() == 0
            assert value.grad_fn is not None
    classes = [value for key, value in found.items() if "loss_cls" in key]
    assert classes
    assert all(value > 0 for value in classes)


def test_polygons_are_missing_where_there_is_none() -> None:
    square = torch.tensor([[4.0, 4.0], [60.0, 4.0], [60.0, 70.0], [4.0, 70.0]]).numpy()
    masks = PolygonMasks(((square,), ()), models.SIZE)
    assert masks.is_missing is not None
    assert masks.is_missing.tolist() == [False, True]
    for changed in (masks.resize((30, 40)), masks.flip("vertical"), masks.crop(9, 9, (9, 9))):
        assert changed.is_missing is not None
        assert changed.to_bitmaps().is_missing is not None
    assert masks[:1].is_missing is None
    targets = with_masks(masks)
    assert targets.num_masks == 1
    assert targets.index_of_masks(torch.tensor([1, 0, -1, 1])).tolist() == [-1, 0, -1, -1]


def test_a_cropped_mask_is_empty_and_not_missing() -> None:
    """The published models learn that nothing is to be seen of it."""
    masks = BitmapMasks(torch.ones((2, 40, 40), dtype=torch.uint8), torch.tensor([False, True]))
    cropped = masks.crop(100, 100, (10, 10))
    assert cropped.bitmaps.sum() == 0
    assert cropped.is_missing is not None
    assert cropped.is_missing.tolist() == [False, True]
    assert BitmapMasks(masks.bitmaps).crop(100, 100, (10, 10)).is_missing is None
