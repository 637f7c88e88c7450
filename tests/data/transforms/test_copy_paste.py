from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from detzoo.config import config
from detzoo.data.sample import Sample, SkipSample, Transform, apply
from detzoo.data.transforms import CopyPaste, Crop, Flip, Resize
from tests.data.transforms.samples import sample

RNG = np.random.default_rng(0)
# Covers the right part of the first object of ``sample`` and a part of the second.
BOX = (10, 8, 40, 30)


def other(**changes: object) -> Sample:
    black = sample(boxes=(BOX,), ignored=(), **changes)  # type: ignore[arg-type]
    targets = dataclasses.replace(black.targets, labels=torch.tensor([7]))
    return dataclasses.replace(black, image=np.zeros_like(black.image), targets=targets)


def test_objects_are_pasted_over_others() -> None:
    before = sample()
    after = CopyPaste(max_objects=None).mix(before, RNG, lambda _: other())
    x1, y1, x2, y2 = BOX
    assert (after.image[y1:y2, x1:x2] == 0).all()
    outside = np.ones((40, 60), bool)
    outside[y1:y2, x1:x2] = False
    assert (after.image[outside] == before.image[outside]).all()
    # As MMDetection: boxes are those of what is left of the masks.
    assert after.targets.labels.tolist() == [0, 1, 7]
    assert after.targets.boxes.tolist() == [[4, 6, 20, 16], [30, 10, 55, 38], list(BOX)]
    assert after.targets.masks is not None
    areas = after.targets.masks.to_bitmaps().bitmaps.sum((1, 2)).tolist()
    assert areas == [160 - 80, 700 - 200, 660]
    assert torch.equal(after.targets.ignored_boxes, before.targets.ignored_boxes)


def test_objects_that_are_covered_too_far_are_removed() -> None:
    cover = sample(boxes=((0, 0, 19, 40),), ignored=())
    strict = CopyPaste(max_objects=None, max_box_change=14, min_area=11)
    kept = strict.mix(sample(), RNG, lambda _: cover)  # a column of ten pixels is left
    assert kept.targets.labels.tolist() == [1, 0]
    for lax in (
        dataclasses.replace(strict, min_area=9),
        dataclasses.replace(strict, max_box_change=15),
    ):
        kept = lax.mix(sample(), RNG, lambda _: cover)
        assert kept.targets.labels.tolist() == [0, 1, 0]
        assert kept.targets.boxes[0].tolist() == [19, 6, 20, 16]
    whole = sample(boxes=((0, 0, 60, 40),), ignored=())
    lax = CopyPaste(max_objects=None, max_box_change=100, min_area=0)
    assert lax.mix(sample(), RNG, lambda _: whole).targets.labels.tolist() == [0]


def test_without_masks_boxes_are_pasted() -> None:
    after = CopyPaste(max_objects=None).mix(
        sample(masks="none"), RNG, lambda _: other(masks="none")
    )
    assert after.targets.masks is None
    assert after.targets.boxes.tolist() == [[4, 6, 20, 16], [30, 10, 55, 38], list(BOX)]


def test_images_of_other_sizes() -> None:
    large = sample(height=80, width=90, boxes=((50, 8, 80, 30), (70, 50, 80, 60)), ignored=())
    after = CopyPaste(max_objects=None).mix(sample(), RNG, lambda _: large)
    assert after.image.shape == (40, 60, 3)
    assert after.targets.boxes[2:].tolist() == [[50, 8, 60, 30]]


def test_a_random_number_of_objects() -> None:
    many = sample(boxes=tuple((x, 0, x + 1, 2) for x in range(40)), ignored=())
    rng = np.random.default_rng(0)
    counts = [
        len(CopyPaste(max_objects=3).mix(sample(), rng, lambda _: many).targets) - 2
        for _ in range(60)
    ]
    assert set(counts) == {0, 1, 2, 3}
    empty = sample(boxes=())
    assert CopyPaste().mix(sample(), rng, lambda _: empty).image is not None


def test_the_other_image_has_passed_the_transforms_before() -> None:
    before = (Flip(probability=1.0), Resize(sizes=((60, 40),)))
    steps = (*before, CopyPaste(max_objects=None))
    after = apply(steps, sample(), RNG, lambda _: other())
    assert after.targets.boxes[-1].tolist() == [20, 8, 50, 30]
    assert (after.image[8:30, 20:50] == 0).all()


def test_draws_that_are_rejected_are_repeated() -> None:
    @config
    class Reject(Transform):
        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            if len(sample.targets) == 1:
                raise SkipSample
            return sample

    draws = iter([other(), other(), sample(boxes=((0, 0, 9, 9), (20, 20, 30, 30), (1, 1, 5, 5)))])
    steps = (Reject(), CopyPaste(max_objects=None))
    after = apply(steps, sample(), RNG, lambda _: next(draws))
    assert len(after.targets) == 5
    with pytest.raises(SkipSample):
        apply(steps, sample(), RNG, lambda _: other())


def test_boxes_of_cropped_masks() -> None:
    """What is left of a mask may be smaller than what is left of its box."""
    before = sample(boxes=((0, 0, 20, 20),), ignored=())
    assert before.targets.masks is not None
    triangle = torch.ones(20, 20, dtype=torch.uint8).tril()
    bitmaps = torch.zeros(1, 40, 60, dtype=torch.uint8)
    bitmaps[0, :20, :20] = triangle
    masks = dataclasses.replace(before.targets.masks.to_bitmaps(), bitmaps=bitmaps)
    before = dataclasses.replace(before, targets=dataclasses.replace(before.targets, masks=masks))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cut = Crop(size=(15, 15), boxes_from_masks=True)
        try:
            after = cut(before, rng)
        except SkipSample:
            continue
        assert after.targets.masks is not None
        assert torch.equal(after.targets.boxes, after.targets.masks.boxes())
        plain = Crop(size=(15, 15))(before, np.random.default_rng(seed))
        if not torch.equal(plain.targets.boxes, after.targets.boxes):
            break
    else:
        pytest.fail("no crop made a difference")
