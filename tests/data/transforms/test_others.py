from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch

from detzoo.config import ConfigError, from_dict, to_dict
from detzoo.data.sample import Sample, SkipSample, apply
from detzoo.data.transforms import FilterBoxes, Pad, PhotometricDistortion, Resize, TorchvisionV2
from detzoo.errors import DataError
from detzoo.structures import BitmapMasks
from tests.data.transforms.samples import check_consistent, sample

RNG = np.random.default_rng(0)


def test_pad_only_notes_the_size() -> None:
    before = sample()
    after = Pad(divisor=32)(before, RNG)
    assert after.image is before.image
    assert (after.info.size, after.info.padded_size) == ((40, 60), (64, 64))
    assert Pad(divisor=1)(before, RNG).info.padded_size == (40, 60)
    assert Pad(size=(50, 50))(before, RNG).info.padded_size == (50, 60)
    with pytest.raises(ConfigError, match="divisor: 0"):
        Pad(divisor=0)


def test_pad_with_a_color_makes_the_image_larger() -> None:
    before = sample()
    classes = torch.zeros(40, 60, dtype=torch.uint8)
    before = replace(before, targets=replace(before.targets, semantic_map=classes))
    after = Pad(divisor=32, fill=(1.0, 2.0, 3.0))(before, RNG)
    assert after.image.shape == (64, 64, 3)
    assert (after.image[:40, :60] == before.image).all()
    assert (after.image[40:] == (1, 2, 3)).all()
    assert (after.image[:, 60:] == (1, 2, 3)).all()
    assert (after.info.size, after.info.padded_size) == ((64, 64), (64, 64))
    assert torch.equal(after.targets.boxes, before.targets.boxes)
    check_consistent(before, after)
    assert after.targets.semantic_map is not None
    assert after.targets.semantic_map[:40, :60].max() == 0
    assert (after.targets.semantic_map[40:] == 255).all()
    gray = replace(before, image=before.image[..., :1])
    assert (Pad(square=True, fill=(1.0, 2.0, 6.0))(gray, RNG).image[40:] == 3).all()


def test_filter_boxes() -> None:
    before = sample(boxes=((0, 0, 4, 9), (0, 0, 5, 9), (0, 0, 9, 2), (1, 1, 8, 4)))
    after = FilterBoxes(min_size=(4, 2))(before, RNG)
    assert after.targets.labels.tolist() == [1, 3]
    check_consistent(before, after)
    with pytest.raises(SkipSample):
        FilterBoxes(min_size=(100, 1))(before, RNG)
    assert len(FilterBoxes(min_size=(100, 1), allow_empty=True)(before, RNG).targets) == 0
    empty = sample(boxes=())
    assert FilterBoxes()(empty, RNG) is empty


def test_filter_masks() -> None:
    before = sample(boxes=((0, 0, 4, 9), (0, 0, 9, 9)))
    assert FilterBoxes(min_mask_area=37)(before, RNG).targets.labels.tolist() == [1]
    assert FilterBoxes(min_mask_area=36)(before, RNG).targets.labels.tolist() == [0, 1]
    none = sample(boxes=((0, 0, 4, 9), (0, 0, 9, 9)), masks="none")
    assert len(FilterBoxes(min_mask_area=37)(none, RNG).targets) == 2
    assert before.targets.masks is not None
    missing = replace(before.targets.masks.to_bitmaps(), is_missing=torch.tensor([True, False]))
    before = replace(before, targets=replace(before.targets, masks=missing))
    assert len(FilterBoxes(min_mask_area=37)(before, RNG).targets) == 2


class Script(np.random.Generator):
    """Answers coins and uniform draws from a script, so that each step can be told apart."""

    def __init__(self, coins: list[int], values: list[float]) -> None:
        super().__init__(np.random.PCG64(0))
        self.coins = coins
        self.values = values

    def integers(self, *_: object, **__: object) -> int:  # type: ignore[override]
        return self.coins.pop(0)

    def uniform(self, low: float = 0, high: float = 1, size: object = None) -> float:  # type: ignore[override]
        value = self.values.pop(0)
        assert low <= value <= high
        return value

    def permutation(self, x: object, axis: int = 0) -> list[int]:  # type: ignore[override]
        return [2, 0, 1]


# Brightness, contrast first, [contrast], saturation, hue, [contrast], channels.
NOTHING = [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("coins", "values", "change"),
    [
        (NOTHING, [], lambda rgb: rgb),
        ([1, 1, 0, 0, 0, 0], [20.0], lambda rgb: rgb + 20),
        ([0, 1, 1, 0, 0, 0], [0.7], lambda rgb: rgb * 0.7),
        ([0, 0, 0, 0, 1, 0], [1.3], lambda rgb: rgb * 1.3),
        ([0, 1, 0, 0, 0, 1], [], lambda rgb: rgb[[1, 2, 0]]),
    ],
)
def test_photometric_steps(coins: list[int], values: list[float], change: object) -> None:
    before = sample(4, 5, boxes=(), ignored=(), masks="none")
    after = PhotometricDistortion()(before, Script([*coins], [*values]))
    assert after.image.dtype == np.float32
    for y in range(4):
        for x in range(5):
            rgb = before.image[y, x, ::-1].astype(float)
            np.testing.assert_allclose(after.image[y, x, ::-1], change(rgb), atol=0.01)  # type: ignore[operator]


@pytest.mark.parametrize(("saturation", "hue"), [(1.4, 0.0), (1.0, 15.0), (0.6, -17.0)])
def test_saturation_and_hue(saturation: float, hue: float) -> None:
    before = sample(4, 5, boxes=(), ignored=(), masks="none")
    before = Sample(before.image // 2 + 60, before.targets, before.info)  # no gray, no extremes
    after = PhotometricDistortion()(before, Script([0, 1, 0, 1, 1, 0], [saturation, hue]))
    for y in range(4):
        for x in range(5):
            h, s, v = colorsys.rgb_to_hsv(*before.image[y, x, ::-1].astype(float))
            expected = colorsys.hsv_to_rgb((h + hue / 360) % 1, s * saturation, v)
            np.testing.assert_allclose(after.image[y, x, ::-1], expected, atol=0.05)


def test_photometric_results_can_be_resized() -> None:
    rng = np.random.default_rng(0)
    before = sample()
    for _ in range(10):
        after = Resize(sizes=((30, 20),))(PhotometricDistortion()(before, rng), rng)
        assert after.image.dtype == np.float32
        assert after.image.shape == (20, 30, 3)


def test_torchvision_geometry_moves_boxes_and_masks() -> None:
    before = sample()
    after = TorchvisionV2(call="RandomHorizontalFlip(p=1)")(before, RNG)
    np.testing.assert_array_equal(after.image, before.image[:, ::-1])
    assert after.targets.boxes.tolist() == [[40, 6, 56, 16], [5, 10, 30, 38]]
    assert after.targets.ignored_boxes.tolist() == [[35, 20, 50, 39]]
    assert after.targets.labels.tolist() == [0, 1]
    assert after.targets.masks is not None
    assert before.targets.masks is not None
    expected = before.targets.masks.flip("horizontal").to_bitmaps().bitmaps
    assert torch.equal(after.targets.masks.to_bitmaps().bitmaps, expected)


@pytest.mark.parametrize("masks", ["none", "bitmap", "polygon"])
def test_torchvision_drops_objects_that_leave_the_image(masks: str) -> None:
    before = sample(masks=masks)
    after = TorchvisionV2(call="CenterCrop(size=(20, 26))")(before, RNG)
    # The window is x 17-43, y 10-30.
    assert after.info.size == (20, 26)
    assert after.targets.boxes.tolist() == [[0, 0, 3, 6], [13, 0, 26, 20]]
    assert after.targets.ignored_boxes.tolist() == [[0, 10, 8, 20]]
    corner = sample(boxes=((4, 6, 20, 16),), masks=masks)
    far = TorchvisionV2(call="CenterCrop(size=(2, 2))")(corner, RNG)
    assert len(far.targets) == len(far.targets.ignored_boxes) == 0
    assert (far.targets.masks is None) == (masks == "none")


def test_torchvision_removals_stay_parallel() -> None:
    before = sample(boxes=((4, 6, 20, 16), (1, 1, 3, 3), (30, 10, 55, 38)))
    after = TorchvisionV2(call="SanitizeBoundingBoxes(min_size=5)")(before, RNG)
    assert after.targets.labels.tolist() == [0, 2]
    assert after.targets.ignored_boxes.tolist() == [[10, 20, 25, 39]]
    check_consistent(before, after)


def test_torchvision_draws_from_the_samples_generator() -> None:
    before = sample(masks="none")
    jitter = TorchvisionV2(call="ColorJitter(brightness=0.5, hue=(-0.1, 0.1))")
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b, c = (jitter(before, np.random.default_rng(seed)).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert torch.equal(torch.get_rng_state(), state)


def test_torchvision_transforms_nest_and_round_trip() -> None:
    transform = TorchvisionV2(
        call="RandomApply([GaussianBlur(kernel_size=5), Grayscale(3)], p=1.0)"
    )
    image = transform(sample(), RNG).image
    assert (image[..., 0] == image[..., 1]).all()
    known = {"TorchvisionV2": TorchvisionV2}
    assert from_dict(to_dict(transform), known) == transform


def test_torchvision_takes_float_images() -> None:
    before = sample(masks="none")
    bright = Sample(before.image.astype(np.float32) + 300, before.targets, before.info)
    assert (TorchvisionV2(call="Identity()")(bright, RNG).image == 255).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("ColorJiter()", "has no transform 'ColorJiter'"),
        ("functional()", "has no transform 'functional'"),
        ("ColorJitter", "is not written like"),
        ("ColorJitter(", "is not written like"),
        ("ColorJitter(brightnes=1)", "unexpected keyword argument 'brightnes'"),
        ("ColorJitter(brightness=-1)", "non negative"),
        ("ColorJitter(brightness=__import__('os').getpid())", "has no transform .__import__"),
        ("ColorJitter(brightness=1 if 1 else 0)", "neither a plain value nor a transform"),
    ],
)
def test_torchvision_calls_that_cannot_be(call: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^call: .*{message}"):
        TorchvisionV2(call=call)


def test_torchvision_must_leave_pixels_uint8() -> None:
    with pytest.raises(DataError, match=r"ConvertImageDtype\(\): converted the image to"):
        TorchvisionV2(call="ConvertImageDtype()")(sample(), RNG)


def test_a_transform_that_cannot_do_an_image_names_it_and_itself() -> None:
    crop = TorchvisionV2(call="RandomCrop(60)")
    message = r"^5\.png: TorchvisionV2\(call='RandomCrop\(60\)'\) cannot do it.* 64 x 33 pixels"
    with pytest.raises(DataError, match=message):
        apply((crop,), sample(33, 64), np.random.default_rng(0))


def test_torchvision_keeps_apart_which_masks_are_missing() -> None:
    before = sample()
    assert isinstance(before.targets.masks, BitmapMasks)
    masks = BitmapMasks(before.targets.masks.bitmaps, torch.tensor([True, False]))
    given = replace(before, targets=replace(before.targets, masks=masks))
    after = TorchvisionV2(call="RandomHorizontalFlip(1.0)")(given, np.random.default_rng(0))
    assert after.targets.labels.tolist() == [0, 1]
    assert after.targets.masks is not None
    assert after.targets.masks.is_missing is not None
    assert after.targets.masks.is_missing.tolist() == [True, False]
    assert len(after.targets.ignored_boxes) == 1
