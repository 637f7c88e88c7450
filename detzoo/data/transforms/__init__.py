"""Transforms of samples, as value objects."""

from detzoo.data.transforms.albumentations import Albumentations
from detzoo.data.transforms.center_crop_pad import CenterPad, RandomCenterCropPad
from detzoo.data.transforms.copy_paste import CopyPaste
from detzoo.data.transforms.corrupt import Corrupt
from detzoo.data.transforms.crop import Crop
from detzoo.data.transforms.cutout import CutOut
from detzoo.data.transforms.enhance import (
    AdjustBrightness,
    AdjustContrast,
    AdjustSaturation,
    Equalize,
)
from detzoo.data.transforms.expand import Expand
from detzoo.data.transforms.filter_boxes import FilterBoxes
from detzoo.data.transforms.flip import Flip
from detzoo.data.transforms.hsv import RandomHSV
from detzoo.data.transforms.instaboost import InstaBoost
from detzoo.data.transforms.min_iou_crop import MinIoUCrop
from detzoo.data.transforms.mixup import MixUp
from detzoo.data.transforms.mosaic import Mosaic
from detzoo.data.transforms.one_of import OneOf
from detzoo.data.transforms.pad import Pad
from detzoo.data.transforms.photometric import PhotometricDistortion
from detzoo.data.transforms.random_affine import RandomAffine
from detzoo.data.transforms.resize import Rescale, Resize
from detzoo.data.transforms.rotate import Rotate
from detzoo.data.transforms.semantic import ShrinkSemanticMap
from detzoo.data.transforms.shear import Shear
from detzoo.data.transforms.shift import RandomShift
from detzoo.data.transforms.torchvision_v2 import TorchvisionV2
from detzoo.data.transforms.translate import Translate

__all__ = [
    "AdjustBrightness",
    "AdjustContrast",
    "AdjustSaturation",
    "Albumentations",
    "CenterPad",
    "CopyPaste",
    "Corrupt",
    "Crop",
    "CutOut",
    "Equalize",
    "Expand",
    "FilterBoxes",
    "Flip",
    "InstaBoost",
    "MinIoUCrop",
    "MixUp",
    "Mosaic",
    "OneOf",
    "Pad",
    "PhotometricDistortion",
    "RandomAffine",
    "RandomCenterCropPad",
    "RandomHSV",
    "RandomShift",
    "Rescale",
    "Resize",
    "Rotate",
    "Shear",
    "ShrinkSemanticMap",
    "TorchvisionV2",
    "Translate",
]
