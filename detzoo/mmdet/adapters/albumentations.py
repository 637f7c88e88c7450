"""Albu: transforms of albumentations, whose names and settings V2's files have from before 2.0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

from detzoo.data.transforms import Albumentations
from detzoo.data.transforms.albumentations import is_installed
from detzoo.errors import ConfigError
from detzoo.mmdet.adapters.pipelines import Pipeline
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

Settings = dict[str, Any]

# The probability of a transform was 1/2 where nothing is said, but for these.
_ALWAYS = {
    "CenterCrop",
    "Compose",
    "Crop",
    "CropAndPad",
    "LongestMaxSize",
    "PadIfNeeded",
    "RandomCrop",
    "RandomCropNearBBox",
    "RandomResizedCrop",
    "RandomSizedBBoxSafeCrop",
    "RandomSizedCrop",
    "Resize",
    "SmallestMaxSize",
    "SomeOf",
}
# Other defaults that were not those of 2.0. 4 is a border that mirrors the image.
_DEFAULTS: Mapping[str, Settings] = {
    "ElasticTransform": {"border_mode": 4},
    "GaussianBlur": {"blur_limit": (3, 7), "sigma_limit": 0},
    "GridDistortion": {"border_mode": 4},
    "OpticalDistortion": {"border_mode": 4},
    "PadIfNeeded": {"border_mode": 4},
    "RandomScale": {"scale_limit": 0.1},
    "Rotate": {"border_mode": 4},
    "SafeRotate": {"border_mode": 4},
    "ShiftScaleRotate": {"border_mode": 4},
}
# Names alone.
_RENAMED = {
    "IAACropAndPad": "CropAndPad",
    "IAAEmboss": "Emboss",
    "IAAFliplr": "HorizontalFlip",
    "IAAFlipud": "VerticalFlip",
    "IAAPerspective": "Perspective",
    "IAAPiecewiseAffine": "PiecewiseAffine",
    "IAASharpen": "Sharpen",
    "IAASuperpixels": "Superpixels",
}
# By transform: a setting of 2.0, and the two that its ends were.
_RANGES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Downscale": {"scale_range": ("scale_min", "scale_max")},
    "GridDropout": {"unit_size_range": ("unit_size_min", "unit_size_max")},
    "RandomFog": {"fog_coef_range": ("fog_coef_lower", "fog_coef_upper")},
    "RandomRain": {"slant_range": ("slant_lower", "slant_upper")},
    "RandomResizedCrop": {"size": ("height", "width")},
    "RandomShadow": {"num_shadows_limit": ("num_shadows_lower", "num_shadows_upper")},
    "RandomSizedCrop": {"size": ("height", "width")},
    "RandomSnow": {"snow_point_range": ("snow_point_lower", "snow_point_upper")},
    "RandomSunFlare": {
        "angle_range": ("angle_lower", "angle_upper"),
        "num_flare_circles_range": ("num_flare_circles_lower", "num_flare_circles_upper"),
    },
}
# What these ends were where only one of them is given.
_ENDS: Settings = {
    "angle_lower": 0.0,
    "angle_upper": 1.0,
    "fog_coef_lower": 0.3,
    "fog_coef_upper": 1.0,
    "num_flare_circles_lower": 6,
    "num_flare_circles_upper": 10,
    "num_shadows_lower": 1,
    "num_shadows_upper": 2,
    "scale_max": 0.25,
    "scale_min": 0.25,
    "slant_lower": -10,
    "slant_upper": 10,
    "snow_point_lower": 0.1,
    "snow_point_upper": 0.3,
}
_FILLS = {
    "value": "fill",
    "mask_value": "fill_mask",
    "fill_value": "fill",
    "mask_fill_value": "fill_mask",
}


@adapts("transform", "Albu")
def albu(node: Node, pipeline: Pipeline) -> Albumentations:
    node.ignore("update_pad_shape")
    known = {"img": "image", "gt_masks": "masks", "gt_bboxes": "bboxes", "gt_semantic_seg": "mask"}
    keymap = node.optional_child("keymap")
    for key in list(keymap.left) if keymap is not None else ():
        if key not in known:
            raise node.error("keymap", f"{key!r} is none of {', '.join(known)}")
        assert keymap is not None
        keymap.expect(key, known[key], "what albumentations calls it")
    min_visibility, min_area = 0.0, 0.0
    boxes = node.optional_child("bbox_params")
    if boxes is not None:
        boxes.expect("type", "BboxParams", "what describes boxes")
        boxes.expect("format", "pascal_voc", "the form of V2's boxes")
        boxes.expect("label_fields", ("gt_labels",), "what belongs to a box")
        boxes.expect("filter_lost_elements", True, "as masks go with their boxes")
        min_visibility = float(boxes.take("min_visibility", 0.0))
        min_area = float(boxes.take("min_area", 0.0))
    transform = Albumentations(
        transforms=tuple(_call(step) for step in node.children("transforms")),
        order="bgr",
        min_visibility=min_visibility,
        min_area=min_area,
        allow_empty=not node.take("skip_img_without_anno", False),
    )
    if is_installed():
        try:
            transform.check()
        except ConfigError as error:
            raise node.error(
                "transforms", f"have no equal in albumentations 2.0: {error}"
            ) from error
    return transform


def _call(node: Node) -> str:
    """A transform as it is written for albumentations 2.0."""
    name = node.type
    given: Settings = {}
    for key in list(node.left):
        if key == "transforms":
            given[key] = [_Call(_call(step)) for step in node.children(key)]
        else:
            given[key] = node.take(key)
    always = given.pop("always_apply", False)
    probability = given.pop("p", 1.0 if name in _ALWAYS else 0.5)
    name = _RENAMED.get(name, name)
    if name in _TRANSLATED:
        name, given = _TRANSLATED[name](given)
    for setting, ends in _RANGES.get(name, {}).items():
        if set(ends) & set(given):
            given[setting] = tuple(given.pop(end, _ENDS.get(end)) for end in ends)
    for old, new in _FILLS.items():
        value = given.pop(old, None)
        if value is not None:
            given[new] = value
    settings = {**_DEFAULTS.get(name, {}), **given, "p": 1.0 if always else probability}
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


class _Call(str):
    """A call within a call, which is written without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _jpeg(given: Settings) -> tuple[str, Settings]:
    if "quality_range" in given:
        return "ImageCompression", given
    low, high = given.pop("quality_lower", 99), given.pop("quality_upper", 100)
    return "ImageCompression", {"quality_range": (low, high), **given}


def _contrast(given: Settings) -> tuple[str, Settings]:
    limit = given.pop("limit", 0.2)
    settings = {"brightness_limit": 0.0, "contrast_limit": limit, **given}
    return "RandomBrightnessContrast", settings


def _brightness(given: Settings) -> tuple[str, Settings]:
    limit = given.pop("limit", 0.2)
    settings = {"brightness_limit": limit, "contrast_limit": 0.0, **given}
    return "RandomBrightnessContrast", settings


def _flip(given: Settings) -> tuple[str, Settings]:
    """Flip drew one of two axes, or both."""
    both = "Sequential([HorizontalFlip(p=1.0), VerticalFlip(p=1.0)], p=1.0)"
    calls = ("HorizontalFlip(p=1.0)", "VerticalFlip(p=1.0)", both)
    return "OneOf", {"transforms": [_Call(call) for call in calls], **given}


def _cutout(given: Settings) -> tuple[str, Settings]:
    """Cutout: holes that are all of one size."""
    holes, height, width = (given.pop(key, 8) for key in ("num_holes", "max_h_size", "max_w_size"))
    ranges = {
        "num_holes_range": (holes, holes),
        "hole_height_range": (height, height),
        "hole_width_range": (width, width),
    }
    return "CoarseDropout", {**ranges, **given}


def _coarse_dropout(given: Settings) -> tuple[str, Settings]:
    ranges = {}
    for new, old in (("num_holes", "holes"), ("hole_height", "height"), ("hole_width", "width")):
        if f"{new}_range" in given:  # named as in 2.0 already
            continue
        most = given.pop(f"max_{old}", 8)
        least = given.pop(f"min_{old}", None)
        ranges[f"{new}_range"] = (most if least is None else least, most)
    return "CoarseDropout", {**ranges, **given}


def _gauss_noise(given: Settings) -> tuple[str, Settings]:
    """The range was that of the variance, of 255 squared."""
    if "std_range" in given:
        return "GaussNoise", given
    limit, mean = given.pop("var_limit", (10.0, 50.0)), given.pop("mean", 0)
    low, high = limit if isinstance(limit, tuple) else (0, limit)
    std = (sqrt(low) / 255, sqrt(high) / 255)
    return "GaussNoise", {"std_range": std, "mean_range": (mean / 255, mean / 255), **given}


def _iaa_noise(given: Settings) -> tuple[str, Settings]:
    """The range was that of the standard deviation, of 255."""
    scale, loc = given.pop("scale", (0.01 * 255, 0.05 * 255)), given.pop("loc", 0)
    low, high = scale if isinstance(scale, tuple) else (scale, scale)
    settings = {
        "std_range": (low / 255, high / 255),
        "mean_range": (loc / 255, loc / 255),
        "per_channel": given.pop("per_channel", False),
    }
    return "GaussNoise", {**settings, **given}


def _iaa_affine(given: Settings) -> tuple[str, Settings]:
    """imgaug's Affine, which mirrored the image at its border unless told otherwise."""
    modes = {"constant": 0, "edge": 1, "symmetric": 2, "reflect": 4, "wrap": 3}
    fill, mode = given.pop("cval", 0), given.pop("mode", "reflect")
    order = given.pop("order", 1)
    settings = {
        "border_mode": modes.get(mode, mode),
        "fill": fill,
        "interpolation": 0 if order == 0 else order,
        "scale": given.pop("scale", 1.0),
        "rotate": given.pop("rotate", 0.0),
        "shear": given.pop("shear", 0.0),
    }
    return "Affine", {**settings, **given}


def _perspective(given: Settings) -> tuple[str, Settings]:
    for old, new in (
        ("pad_mode", "border_mode"),
        ("pad_val", "fill"),
        ("mask_pad_val", "fill_mask"),
    ):
        if old in given:
            given[new] = given.pop(old)
    return "Perspective", given


def _solarize(given: Settings) -> tuple[str, Settings]:
    if "threshold_range" in given:
        return "Solarize", given
    limit = given.pop("threshold", 128)
    low, high = limit if isinstance(limit, tuple) else (limit, limit)
    return "Solarize", {"threshold_range": (low / 255, high / 255), **given}


_TRANSLATED: Mapping[str, Callable[[Settings], tuple[str, Settings]]] = {
    "CoarseDropout": _coarse_dropout,
    "Cutout": _cutout,
    "Flip": _flip,
    "GaussNoise": _gauss_noise,
    "IAAAdditiveGaussianNoise": _iaa_noise,
    "IAAAffine": _iaa_affine,
    "ImageCompression": _jpeg,
    "JpegCompression": _jpeg,
    "Perspective": _perspective,
    "RandomBrightness": _brightness,
    "RandomContrast": _contrast,
    "Solarize": _solarize,
}
