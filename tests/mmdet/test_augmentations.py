"""Steps of V2's training pipelines, each as the transform that it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detzoo.data.sample import Transform
from detzoo.data.transforms import (
    AdjustBrightness,
    AdjustContrast,
    AdjustSaturation,
    CopyPaste,
    Corrupt,
    Crop,
    CutOut,
    Equalize,
    FilterBoxes,
    Flip,
    OneOf,
    Pad,
    Rotate,
    Shear,
    Translate,
)
from detzoo.errors import ConfigError
from tests.mmdet.small_files import COLORS, FASTER, FLIP, MASK, PAD, held_out, imported, train

BLACK = (0.0, 0.0, 0.0)
PAD_114 = "dict(type='Pad', size_divisor=32, pad_val=dict(img=114))"
SQUARE = "dict(type='Pad', size=(1333, 1333))"

STEPS: list[tuple[str, Transform]] = [
    ("type='Rotate', level=5, prob=0.4, max_rotate_angle=20, center=3, scale=2, img_fill_val=7",
     Rotate(degrees=10.0, probability=0.4, center=(3.0, 3.0), scale=2.0, fill=(7.0, 7.0, 7.0))),
    ("type='Shear', level=4, direction='vertical', random_negative_prob=0, img_fill_val=(1, 2, 3)",
     Shear(slope=0.12, direction="vertical", negative_probability=0.0, fill=(1.0, 2.0, 3.0))),
    ("type='Translate', level=3, prob=1, max_translate_offset=25, min_size=2",
     Translate(pixels=7, probability=1.0, min_size=2.0)),
    ("type='ColorTransform', level=5, prob=0.3", AdjustSaturation(factor=1.0, probability=0.3)),
    ("type='BrightnessTransform', level=10", AdjustBrightness(factor=1.9000000000000001)),
    ("type='ContrastTransform', level=0", AdjustContrast(factor=0.1)),
    ("type='EqualizeTransform', prob=0.1", Equalize(probability=0.1)),
    ("type='Corrupt', corruption='fog'", Corrupt(corruption="fog", severity=1)),
    ("type='Corrupt', corruption='snow', severity=5", Corrupt(corruption="snow", severity=5)),
    ("type='CutOut', n_holes=(1, 3), cutout_shape=[(4, 8), (2, 2)], fill_in=(1, 2, 3)",
     CutOut(holes=(1, 3), sizes=((4.0, 8.0), (2.0, 2.0)), fill=(1.0, 2.0, 3.0))),
    ("type='CutOut', n_holes=2, cutout_ratio=(0.1, 0.2)",
     CutOut(holes=(2, 2), sizes=((0.1, 0.2),), relative=True)),
    ("type='RandomFlip', flip_ratio=[0.2, 0.3], direction=['horizontal', 'vertical']",
     Flip(probability=(0.2, 0.3), directions=("horizontal", "vertical"))),
    ("type='RandomCrop', crop_size=(400, 500), recompute_bbox=True",
     Crop(size=(400, 500), boxes_from_masks=True)),
    ("type='FilterAnnotations', by_box=False, by_mask=True, min_gt_mask_area=9, keep_empty=False",
     FilterBoxes(min_size=(0.0, 0.0), min_mask_area=9, allow_empty=True)),
    ("type='AutoAugment', policies=[[dict(type='Rotate', level=1), dict(type='EqualizeTransform')],"
     " [dict(type='Resize', img_scale=(9, 9), override=True), dict(type='Pad', size_divisor=8)]]",
     OneOf(policies=((Rotate(degrees=3.0), Equalize()), ()))),
]  # fmt: skip


@pytest.mark.parametrize(("step", "transform"), STEPS)
def test_steps(tmp_path: Path, step: str, transform: Transform) -> None:
    found = imported(tmp_path, FASTER, f"data = dict({train(f'dict({step})', COLORS, PAD)})")
    steps = found.to_train().data.train_transforms
    if isinstance(transform, OneOf):
        first, second = next(one for one in steps if isinstance(one, OneOf)).policies
        assert first == transform.policies[0]
        assert second[1:] == (Pad(divisor=8, fill=BLACK),)
    else:
        assert steps[1] == transform


WRONG = [
    ("type='Rotate', level=11", "11 is not from 0 to 10"),
    ("type='Corrupt', corruption='rain'", "'rain'"),
    ("type='Corrupt', corruption='fog', severity=6", "at most 5"),
    ("type='CutOut', n_holes=1", "give either cutout_shape or cutout_ratio"),
    ("type='Shear', level=1, img_fill_val=(1, 2)", "neither one value nor three"),
    ("type='FilterAnnotations', by_box=False", "or by_mask must be True"),
    ("type='AutoAugment', policies=[[dict(type='Collect', keys=['img'])]]", "is for all images"),
]


@pytest.mark.parametrize(("step", "reason"), WRONG)
def test_steps_that_cannot_be(tmp_path: Path, step: str, reason: str) -> None:
    found = imported(tmp_path, FASTER, f"data = dict({train(f'dict({step})', COLORS, PAD)})")
    assert [reason in obstacle.reason for obstacle in found.obstacles] == [True]


def test_copy_paste(tmp_path: Path) -> None:
    """What is pasted has passed the steps of the inner data set, here Resize and Pad."""
    load = "dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_mask=True), "
    load += "dict(type='Resize', img_scale=(512, 512)), dict(type='Pad', size=(512, 512))"
    inner = f"dict(type='CocoDataset', pipeline=[{load}])"
    last = "dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels', 'gt_masks'])"
    paste = "dict(type='CopyPaste', max_num_pasted=10, bbox_occluded_thr=5, mask_occluded_thr=20)"
    outer = f"_delete_=True, type='MultiImageMixDataset', dataset={inner}, pipeline=[{paste}"
    found = imported(tmp_path, MASK, f"data = dict(train=dict({outer}, {COLORS}, {last}]))")
    steps = found.to_train().data.train_transforms
    assert steps[1:] == (
        Pad(size=(512, 512), fill=BLACK),
        CopyPaste(max_objects=9, max_box_change=5.0, min_area=20),
    )


# Steps of training, of the test; the padding of the model; what Pads of either pad at once.
PADDING: list[tuple[tuple[str, ...], tuple[str, ...], float | None, Any, Any]] = [
    ((COLORS, PAD), (COLORS, PAD), None, None, None),
    ((PAD, COLORS), (PAD, COLORS), 0.0, None, None),
    ((PAD, COLORS), (COLORS, PAD), None, BLACK, None),  # albu_example
    ((PAD_114, COLORS), (COLORS, PAD), None, (114.0,) * 3, None),
    ((COLORS, PAD), (PAD_114, COLORS), None, None, (114.0,) * 3),
    ((SQUARE, FLIP, COLORS), (COLORS, PAD), None, BLACK, None),
    # Normalize makes 0 of these, but for rounding.
    ((COLORS, SQUARE, FLIP), (COLORS, PAD), None, (104.0, 116.0, 124.0), None),
]


@pytest.mark.parametrize(("steps", "test_steps", "padding", "train_fill", "test_fill"), PADDING)
def test_padding(
    tmp_path: Path,
    steps: tuple[str, ...],
    test_steps: tuple[str, ...],
    padding: float | None,
    train_fill: Any,
    test_fill: Any,
) -> None:
    data = f"data = dict({train(*steps)}, {held_out(*test_steps)})"
    experiment = imported(tmp_path, FASTER, data).to_train()
    assert experiment.model.input_pixels.padding == padding
    for transforms, fill in (
        (experiment.data.train_transforms, train_fill),
        (experiment.data.test_transforms, test_fill),
    ):
        assert [one.fill for one in transforms if isinstance(one, Pad)] == [fill]


def test_a_plain_value_pads_the_image(tmp_path: Path) -> None:
    """So it was until 2.17."""
    old = "dict(type='Pad', size_divisor=32, pad_val=7)"
    data = f"data = dict({train(old, COLORS)}, {held_out(old, COLORS)})"
    assert imported(tmp_path, FASTER, data).experiment.model.input_pixels.padding == 7.0
    with pytest.raises(ConfigError, match="after Normalize, images are padded with 0"):
        imported(tmp_path, FASTER, f"data = dict({held_out(COLORS, old)})")
