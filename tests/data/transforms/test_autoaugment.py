"""AutoAugment's transforms, with the numbers of MMDetection 2.28.2 for the same image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from detzoo.config import from_dict, to_dict
from detzoo.data.sample import Transform
from detzoo.data.transforms import (
    AdjustBrightness,
    AdjustContrast,
    AdjustSaturation,
    Equalize,
    Rotate,
    Shear,
    Translate,
)
from tests.data.transforms.samples import check_consistent, sample

RNG = np.random.default_rng(0)
ROTATE = Rotate(degrees=20, scale=1.1)
SHEAR = Shear(slope=0.24, direction="vertical", fill=(7, 7, 7))
TRANSLATE = Translate(pixels=16, min_size=3)


# The transform, whether in the other direction, boxes, ignored boxes, sum of the pixels.
GEOMETRY: list[tuple[Any, bool, list[list[float]], list[list[float]], int]] = [
    (ROTATE, False, [[4.458, 0, 24.759, 12.308], [23.057, 9.868, 59.432, 40]],
     [[2.007, 12.68, 24.66, 37.963]], 940710),
    (ROTATE, True, [[0, 9.12, 18.363, 25.476], [26.443, 0.087, 60, 38.435]],
     [[9.532, 21.71, 32.185, 40]], 955201),
    (SHEAR, False, [[4, 6.96, 20, 20.8], [30, 17.2, 55, 40]], [[10, 22.4, 25, 40]], 787977),
    (SHEAR, True, [[4, 1.2, 20, 15.04], [30, 0, 55, 30.8]], [[10, 14, 25, 36.6]], 757994),
    (TRANSLATE, False, [[20, 6, 36, 16], [46, 10, 60, 38]], [[26, 20, 41, 39]], 920866),
    (TRANSLATE, True, [[0, 6, 4, 16], [14, 10, 39, 38]], [[0, 20, 9, 39]], 946874),
]  # fmt: skip


@pytest.mark.parametrize("masks", ["bitmap", "polygon", "none"])
@pytest.mark.parametrize(("transform", "negative", "boxes", "ignored", "total"), GEOMETRY)
def test_geometry(
    transform: Any,
    negative: bool,
    boxes: list[list[float]],
    ignored: list[list[float]],
    total: int,
    masks: str,
) -> None:
    chances = {"probability": 1.0, "negative_probability": float(negative)}
    after = dataclasses.replace(transform, **chances)(sample(masks=masks), RNG)
    torch.testing.assert_close(after.targets.boxes, torch.tensor(boxes).float(), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        after.targets.ignored_boxes, torch.tensor(ignored).float(), atol=1e-3, rtol=0
    )
    assert after.targets.labels.tolist() == [0, 1]
    assert int(after.image.sum()) == total
    if after.targets.masks is not None:
        # A mask is a rotated rectangle, whose corners reach the sides of its box.
        found = after.targets.masks.to_bitmaps().boxes()
        assert (found - after.targets.boxes).abs().max() <= 2
    never = dataclasses.replace(transform, probability=0.0)
    before = sample(masks=masks)
    assert never(before, RNG) is before


def test_a_right_angle() -> None:
    before = sample(height=40, width=40, boxes=((4, 6, 20, 16),), ignored=())
    after = Rotate(degrees=90, probability=1.0, negative_probability=0.0)(before, RNG)
    assert (after.image == np.rot90(before.image, -1)).all()
    assert before.targets.masks is not None
    assert after.targets.masks is not None
    turned = np.rot90(before.targets.masks.to_bitmaps().bitmaps[0].numpy(), -1)
    assert (after.targets.masks.to_bitmaps().bitmaps[0].numpy() == turned).all()
    # Boxes are rotated about the center of the pixels, as V2 does.
    torch.testing.assert_close(
        after.targets.boxes, torch.tensor([[23.0, 4, 33, 20]]), atol=1e-4, rtol=0
    )


def test_semantic_maps_move_along_and_are_unlabeled_outside() -> None:
    before = sample(masks="none")
    classes = torch.arange(40 * 60, dtype=torch.int64).view(40, 60) % 200
    targets = dataclasses.replace(before.targets, semantic_map=classes.to(torch.uint8))
    before = dataclasses.replace(before, targets=targets)
    after = Translate(pixels=16, probability=1.0, negative_probability=0.0)(before, RNG)
    assert after.targets.semantic_map is not None
    assert (after.targets.semantic_map[:, :16] == 255).all()
    assert torch.equal(after.targets.semantic_map[:, 16:], classes[:, :-16].to(torch.uint8))
    after = Shear(slope=0.5, probability=1.0, negative_probability=0.0)(before, RNG)
    assert after.targets.semantic_map is not None
    assert (after.targets.semantic_map[39, :18] == 255).all()
    assert torch.equal(after.targets.semantic_map[2, 1:], classes[2, :-1].to(torch.uint8))


def test_what_leaves_the_image_is_removed() -> None:
    after = Translate(pixels=50, probability=1.0, negative_probability=1.0)(sample(), RNG)
    assert after.targets.labels.tolist() == [1]
    assert after.targets.boxes.tolist() == [[0, 10, 5, 38]]
    assert len(after.targets.ignored_boxes) == 0
    check_consistent(sample(), after)
    far = Translate(pixels=100, probability=1.0)(sample(), RNG)
    assert len(far.targets) == 0
    assert (far.image == 128).all()


# The transform, what Pillow does, sum of the pixels after MMDetection's.
COLORS: list[tuple[Transform, Any, int]] = [
    (
        AdjustSaturation(factor=1.54, probability=1.0),
        lambda image: ImageEnhance.Color(image).enhance(1.54),
        924705,
    ),
    (
        AdjustBrightness(factor=0.46, probability=1.0),
        lambda image: ImageEnhance.Brightness(image).enhance(0.46),
        422362,
    ),
    (
        AdjustContrast(factor=1.54, probability=1.0),
        lambda image: ImageEnhance.Contrast(image).enhance(1.54),
        932665,
    ),
    (Equalize(probability=1.0), ImageOps.equalize, 953697),
]


@pytest.mark.parametrize(("transform", "pillow", "total"), COLORS)
def test_colors(transform: Transform, pillow: Any, total: int) -> None:
    before = sample()
    after = transform(before, RNG)
    assert int(after.image.sum()) == total
    theirs = np.asarray(pillow(Image.fromarray(before.image[..., ::-1])))[..., ::-1]
    assert np.abs(after.image.astype(int) - theirs).max() <= 1
    assert after.targets is before.targets
    # The type that other transforms have made stays, and gray images stay gray.
    floats = dataclasses.replace(before, image=before.image.astype(np.float32))
    assert transform(floats, RNG).image.dtype == np.float32
    gray = dataclasses.replace(before, image=before.image[..., :1])
    assert transform(gray, RNG).image.shape == (40, 60, 1)


def test_an_image_of_one_color_has_no_histogram_to_equalize() -> None:
    before = dataclasses.replace(sample(), image=np.full((40, 60, 3), 77, np.uint8))
    assert (Equalize(probability=1.0)(before, RNG).image == 77).all()


def test_they_are_written_to_files() -> None:
    for transform in (ROTATE, SHEAR, TRANSLATE, COLORS[0][0]):
        assert (
            from_dict(to_dict(transform), {type(transform).__name__: type(transform)}) == transform
        )
