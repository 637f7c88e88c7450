"""Steps of V2's training pipelines that change images and objects at random."""

from __future__ import annotations

from dataclasses import replace

from detzoo.backbones.pretrained import TORCHVISION
from detzoo.data.sample import Transform
from detzoo.data.transforms import (
    AdjustBrightness,
    AdjustContrast,
    AdjustSaturation,
    CenterPad,
    CopyPaste,
    Corrupt,
    Crop,
    CutOut,
    Equalize,
    Expand,
    FilterBoxes,
    Flip,
    InstaBoost,
    MinIoUCrop,
    MixUp,
    Mosaic,
    OneOf,
    PhotometricDistortion,
    RandomAffine,
    RandomCenterCropPad,
    RandomHSV,
    RandomShift,
    Rotate,
    Shear,
    Translate,
)
from detzoo.mmdet.adapters.pipelines import Pipeline, color_of, read_step
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("transform", "RandomShift")
def random_shift(node: Node, pipeline: Pipeline) -> RandomShift:
    node.expect("filter_thr_px", 1, "as objects wider and higher than a pixel stay")
    return RandomShift(
        probability=float(node.take("shift_ratio", 0.5)), max_shift=node.take("max_shift_px", 32)
    )


@adapts("transform", "RandomCrop")
def crop(node: Node, pipeline: Pipeline) -> Crop:
    node.expect("bbox_clip_border", True, "as boxes are cut at the image")
    kind = node.take("crop_type", "absolute")
    return Crop(
        size=tuple(node.take("crop_size")),
        kind=kind,
        allow_empty=node.take("allow_negative_crop", False),
        boxes_from_masks=node.take("recompute_bbox", False),
    )


@adapts("transform", "Corrupt")
def corrupt(node: Node, pipeline: Pipeline) -> Corrupt:
    return Corrupt(corruption=node.take("corruption"), severity=node.take("severity", 1))


@adapts("transform", "AutoAugment")
def one_of(node: Node, pipeline: Pipeline) -> OneOf:
    """V2's AutoAugment, which draws one of several lists of steps."""
    was_resized = pipeline.is_resized
    lists = node.lists("policies")
    return OneOf(policies=tuple(_policy(steps, pipeline, was_resized) for steps in lists))


def _policy(steps: list[Node], pipeline: Pipeline, was_resized: bool) -> tuple[Transform, ...]:
    """One list of steps; those that pad do it at once, as others may come after."""
    inner = replace(pipeline, transforms=[], is_resized=was_resized)
    for step in steps:
        if step.type in ("Normalize", "LoadAnnotations", "Collect"):
            raise step.error("type", "is for all images, and none of several choices")
        read_step(step, inner)
        if step.type == "RandomFlip" and any(isinstance(o, Flip) for o in pipeline.transforms):
            raise step.error("type", "repeats a RandomFlip before, which undoes it")
    pipeline.is_resized |= inner.is_resized
    return tuple(inner.transforms)


@adapts("transform", "Rotate")
def rotate(node: Node, pipeline: Pipeline) -> Rotate:
    node.expect("seg_ignore_label", 255, "as there is no class outside the image")
    center = node.take("center", None)
    center = (center, center) if isinstance(center, int | float) else center
    return Rotate(
        degrees=float(_level(node) * node.take("max_rotate_angle", 30)),
        scale=float(node.take("scale", 1)),
        center=None if center is None else _floats(center),
        **_chances(node),
        fill=color_of(node, "img_fill_val", node.take("img_fill_val", 128)),
    )


@adapts("transform", "Shear")
def shear(node: Node, pipeline: Pipeline) -> Shear:
    node.expect("seg_ignore_label", 255, "as there is no class outside the image")
    node.expect("interpolation", "bilinear", "how pixels are interpolated")
    return Shear(
        slope=float(_level(node) * node.take("max_shear_magnitude", 0.3)),
        direction=node.take("direction", "horizontal"),
        **_chances(node),
        fill=color_of(node, "img_fill_val", node.take("img_fill_val", 128)),
    )


@adapts("transform", "Translate")
def translate(node: Node, pipeline: Pipeline) -> Translate:
    node.expect("seg_ignore_label", 255, "as there is no class outside the image")
    return Translate(
        pixels=int(_level(node) * node.take("max_translate_offset", 250.0)),
        direction=node.take("direction", "horizontal"),
        **_chances(node),
        min_size=float(node.take("min_size", 0)),
        fill=color_of(node, "img_fill_val", node.take("img_fill_val", 128)),
    )


def _level(node: Node) -> float:
    """``level``, of which 10 is the most."""
    level: float = node.take("level")
    if not 0 <= level <= 10:
        raise node.error("level", f"{level} is not from 0 to 10")
    return level / 10


def _chances(node: Node) -> dict[str, float]:
    return {
        "probability": float(node.take("prob", 0.5)),
        "negative_probability": float(node.take("random_negative_prob", 0.5)),
    }


@adapts("transform", "ColorTransform")
def adjust_saturation(node: Node, pipeline: Pipeline) -> AdjustSaturation:
    return AdjustSaturation(**_enhancement(node))


@adapts("transform", "BrightnessTransform")
def adjust_brightness(node: Node, pipeline: Pipeline) -> AdjustBrightness:
    return AdjustBrightness(**_enhancement(node))


@adapts("transform", "ContrastTransform")
def adjust_contrast(node: Node, pipeline: Pipeline) -> AdjustContrast:
    return AdjustContrast(**_enhancement(node))


def _enhancement(node: Node) -> dict[str, float]:
    factor = _level(node) * 1.8 + 0.1
    return {"factor": factor, "probability": float(node.take("prob", 0.5))}


@adapts("transform", "EqualizeTransform")
def equalize(node: Node, pipeline: Pipeline) -> Equalize:
    return Equalize(probability=float(node.take("prob", 0.5)))


@adapts("transform", "CutOut")
def cutout(node: Node, pipeline: Pipeline) -> CutOut:
    holes = node.take("n_holes")
    shape, ratio = node.take("cutout_shape", None), node.take("cutout_ratio", None)
    if (shape is None) == (ratio is None):
        raise node.error("cutout_shape", "give either cutout_shape or cutout_ratio")
    sizes = ratio if shape is None else shape
    sizes = sizes if isinstance(sizes[0], tuple) else (sizes,)
    return CutOut(
        holes=holes if isinstance(holes, tuple) else (holes, holes),
        sizes=tuple(_floats(size) for size in sizes),
        relative=shape is None,
        fill=color_of(node, "fill_in", node.take("fill_in", (0, 0, 0))),
    )


@adapts("transform", "CopyPaste")
def copy_paste(node: Node, pipeline: Pipeline) -> CopyPaste:
    """V2 draws fewer than ``max_num_pasted``."""
    most = node.take("max_num_pasted", 100) - 1
    return CopyPaste(
        max_objects=most if node.take("selected", True) else None,
        max_box_change=float(node.take("bbox_occluded_thr", 10)),
        min_area=node.take("mask_occluded_thr", 300),
    )


@adapts("transform", "InstaBoost")
def instaboost(node: Node, pipeline: Pipeline) -> InstaBoost:
    node.expect("action_candidate", ("normal", "horizontal", "skip"), "as objects are only moved")
    node.expect("action_prob", (1, 0, 0), "as objects are only moved")
    node.expect("hflag", False, "as places are drawn uniformly")
    scale, theta = node.take("scale", (0.8, 1.2)), node.take("theta", (-1, 1))
    return InstaBoost(
        probability=float(node.take("aug_ratio", 0.5)),
        scale_range=(float(scale[0]), float(scale[1])),
        max_shift=(1 / node.take("dx", 15), 1 / node.take("dy", 15)),
        rotation_range=(float(theta[0]), float(theta[1])),
        color_probability=float(node.take("color_prob", 0.5)),
    )


@adapts("transform", "PhotoMetricDistortion")
def photometric_distortion(node: Node, pipeline: Pipeline) -> PhotometricDistortion:
    return PhotometricDistortion(
        brightness_delta=float(node.take("brightness_delta", 32)),
        contrast_range=node.take("contrast_range", (0.5, 1.5)),
        saturation_range=node.take("saturation_range", (0.5, 1.5)),
        hue_delta=float(node.take("hue_delta", 18)),
    )


@adapts("transform", "Expand")
def expand(node: Node, pipeline: Pipeline) -> Expand:
    low, high = node.take("ratio_range", (1, 4))
    node.expect("seg_ignore_label", None, "as no recipe with semantic maps expands")
    return Expand(
        fill=_fill_of(node),
        ratio_range=(float(low), float(high)),
        probability=node.take("prob", 0.5),
    )


def _fill_of(node: Node) -> tuple[float, float, float]:
    """``mean``, which V2 gives in the order that the detector sees: here in that of images, BGR."""
    mean = tuple(float(value) for value in node.take("mean", (0, 0, 0)))
    if len(set(mean)) == 1:
        if not node.take("to_rgb", True):
            node.reading.aside[node.at("to_rgb")] = "a gray has no order of channels"
        return mean[0], mean[0], mean[0]
    blue, green, red = mean[::-1] if node.take("to_rgb", True) else mean
    return blue, green, red


@adapts("transform", "MinIoURandomCrop")
def min_iou_crop(node: Node, pipeline: Pipeline) -> MinIoUCrop:
    node.expect("bbox_clip_border", True, "as boxes are cut at the image")
    return MinIoUCrop(
        min_ious=node.take("min_ious", (0.1, 0.3, 0.5, 0.7, 0.9)),
        min_size=node.take("min_crop_size", 0.3),
    )


@adapts("transform", "Mosaic")
def mosaic(node: Node, pipeline: Pipeline) -> Mosaic:
    _expect_unfiltered(node)
    return Mosaic(
        probability=float(node.take("prob", 1.0)),
        size=node.take("img_scale", (640, 640)),
        center_range=node.take("center_ratio_range", (0.5, 1.5)),
        fill=int(node.take("pad_val", 114)),
    )


@adapts("transform", "MixUp")
def mixup(node: Node, pipeline: Pipeline) -> MixUp:
    _expect_unfiltered(node)
    node.expect("flip_ratio", 0.5, "as half of the other images are mirrored")
    return MixUp(
        size=node.take("img_scale", (640, 640)),
        scale_range=_floats(node.take("ratio_range", (0.5, 1.5))),
        fill=int(node.take("pad_val", 114)),
    )


@adapts("transform", "RandomAffine")
def random_affine(node: Node, pipeline: Pipeline) -> RandomAffine:
    _expect_unfiltered(node)
    red, green, blue = node.take("border_val", (114, 114, 114))
    if not red == green == blue:
        raise node.error("border_val", "is not gray")
    return RandomAffine(
        max_degrees=float(node.take("max_rotate_degree", 10.0)),
        scale_range=_floats(node.take("scaling_ratio_range", (0.5, 1.5))),
        max_shear_degrees=float(node.take("max_shear_degree", 2.0)),
        max_shift=float(node.take("max_translate_ratio", 0.1)),
        border=node.take("border", (0, 0)),
        fill=red,
    )


def _expect_unfiltered(node: Node) -> None:
    node.expect("skip_filter", True, "as small and narrow boxes stay")
    node.expect("bbox_clip_border", True, "as boxes are cut at the image")


def _floats(pair: tuple[float, float]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


@adapts("transform", "YOLOXHSVRandomAug")
def random_hsv(node: Node, pipeline: Pipeline) -> RandomHSV:
    return RandomHSV(
        hue=node.take("hue_delta", 5),
        saturation=node.take("saturation_delta", 30),
        value=node.take("value_delta", 30),
    )


@adapts("transform", "FilterAnnotations")
def filter_boxes(node: Node, pipeline: Pipeline) -> FilterBoxes:
    by_box, by_mask = node.take("by_box", True), node.take("by_mask", False)
    if not by_box and not by_mask:
        raise node.error("by_box", "or by_mask must be True")
    area = node.take("min_gt_mask_area", 1)
    # V2's words are the other way round: True drops an image that has become empty.
    return FilterBoxes(
        min_size=_floats(node.take("min_gt_bbox_wh", (1.0, 1.0))) if by_box else (0.0, 0.0),
        min_mask_area=area if by_mask else 0,
        allow_empty=not node.take("keep_empty", True),
    )


@adapts("transform", "RandomCenterCropPad")
def center_crop_pad(node: Node, pipeline: Pipeline) -> RandomCenterCropPad | CenterPad:
    """RandomCenterCropPad: two steps in one, for training and for tests."""
    fill = _fill_of(node)
    usual = TORCHVISION.std if any(fill) else (1, 1, 1)
    node.expect("std", usual, "which V2 asks for and does not use")
    node.expect("bbox_clip_border", True, "as boxes are cut at the image")
    size, ratios = node.take("crop_size", None), node.take("ratios", (0.9, 1.0, 1.1))
    border = node.take("border", 128)
    if not node.take("test_mode", False):
        node.expect("test_pad_mode", None, "as this is no test", default=("logical_or", 127))
        return RandomCenterCropPad(size=size, ratios=ratios, border=border, fill=fill)
    if (size, ratios, border) != (None, None, None):
        raise node.error("test_mode", "goes without crop_size, ratios and border")
    mode, bits = node.take("test_pad_mode", ("logical_or", 127))
    if mode != "logical_or":
        raise node.error("test_pad_mode", f"{mode!r} is not 'logical_or'")
    return CenterPad(bits=bits, extra=node.take("test_pad_add_pix", 0), fill=fill)
