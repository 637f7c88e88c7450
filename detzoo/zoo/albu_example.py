"""Mask R-CNN with transforms of albumentations."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import Albumentations, Pad, Resize
from detzoo.experiment import Experiment
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import FULL

# Images are mirrored where they are shifted away: 4 is OpenCV's name of that border.
_SHIFT = (
    "ShiftScaleRotate(border_mode=4, shift_limit=0.0625, scale_limit=0.0, rotate_limit=0, "
    "interpolation=1, p=0.5)"
)
_CONTRAST = (
    "RandomBrightnessContrast(brightness_limit=(0.1, 0.3), contrast_limit=(0.1, 0.3), p=0.2)"
)
_COLORS = (
    "OneOf(transforms=[RGBShift(r_shift_limit=10, g_shift_limit=10, b_shift_limit=10, p=1.0), "
    "HueSaturationValue(hue_shift_limit=20, sat_shift_limit=30, val_shift_limit=20, p=1.0)], p=0.1)"
)
_BLUR = "OneOf(transforms=[Blur(blur_limit=3, p=1.0), MedianBlur(blur_limit=3, p=1.0)], p=0.1)"
TRANSFORMS = (
    _SHIFT,
    _CONTRAST,
    _COLORS,
    "ImageCompression(quality_range=(85, 95), p=0.2)",
    "ChannelShuffle(p=0.1)",
    _BLUR,
)


def mask_rcnn_albu() -> Experiment:
    """Without flips. Images are padded with black before they are shifted; those that have lost all
    objects are left out."""
    base = mask_rcnn()
    transforms = (
        Resize(sizes=FULL),
        Pad(divisor=32, fill=(0.0, 0.0, 0.0)),
        Albumentations(transforms=TRANSFORMS, order="bgr", allow_empty=False),
    )
    return dataclasses.replace(
        base, data=dataclasses.replace(base.data, train_transforms=transforms)
    )


ENTRIES = (Entry("mask_rcnn_r50_fpn_albu_1x_coco", mask_rcnn_albu()),)

FAMILY = Family(
    folder="albu_example",
    title="Mask R-CNN with albumentations",
    paper="https://arxiv.org/abs/1809.06839",
    entries=ENTRIES,
)
