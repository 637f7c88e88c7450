from __future__ import annotations

import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.sample import SkipSample
from detzoo.data.transforms import Albumentations
from tests.data.transforms.samples import sample


def apply(*transforms: str, masks: str = "none", seed: int = 0, **settings: object):  # type: ignore[no-untyped-def]
    transform = Albumentations(transforms=transforms, **settings)  # type: ignore[arg-type]
    return transform(sample(masks=masks), np.random.default_rng(seed))


@pytest.mark.parametrize("masks", ["none", "bitmap", "polygon"])
def test_all_of_a_sample_changes_together(masks: str) -> None:
    before, after = sample(masks=masks), apply("HorizontalFlip(p=1.0)", masks=masks)
    np.testing.assert_array_equal(after.image, before.image[:, ::-1])
    # As in test_flip.py.
    boxes = torch.cat([after.targets.boxes, after.targets.ignored_boxes])
    expected_boxes = torch.tensor([[40.0, 6, 56, 16], [5, 10, 30, 38], [35, 20, 50, 39]])
    # They are fractions of the image inside the library.
    torch.testing.assert_close(boxes, expected_boxes, rtol=0, atol=1e-4)
    assert torch.equal(after.targets.labels, before.targets.labels)
    if masks != "none":
        expected = before.targets.masks.to_bitmaps().bitmaps.flip(2)
        assert torch.equal(after.targets.masks.bitmaps, expected)


def test_the_generator_decides() -> None:
    calls = ("RandomBrightnessContrast(p=1.0)", "OneOf([Blur(3), MedianBlur(5)], p=0.5)")
    same, other = apply(*calls, seed=1), apply(*calls, seed=2)
    np.testing.assert_array_equal(same.image, apply(*calls, seed=1).image)
    assert not np.array_equal(same.image, other.image)


def test_order_of_channels() -> None:
    """A shift of the first channel."""
    call = "RGBShift(r_shift_limit=(20, 20), g_shift_limit=(0, 0), b_shift_limit=(0, 0), p=1.0)"
    before = sample().image.astype(int)
    for order, channel in (("rgb", 2), ("bgr", 0)):
        changed = np.abs(apply(call, order=order).image.astype(int) - before).max((0, 1))
        assert [k for k in range(3) if changed[k]] == [channel]


def test_objects_that_leave_the_image() -> None:
    crop = "Crop(x_min=0, y_min=0, x_max=2, y_max=2, p=1.0)"
    assert len(apply(crop).targets) == 0
    with pytest.raises(SkipSample):
        apply(crop, allow_empty=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("Sharpen", "not written like"),
        ("Sharpn(p=1.0)", "albumentations has no transform 'Sharpn'"),
        ("Blur(blur_limit=3, q=1.0)", "Argument"),
        ("Blur(blur_limit='x')", "Blur"),
    ],
)
def test_calls_that_cannot_be(call: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply(call)
