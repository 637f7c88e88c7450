"""Data pipelines: V2's lists of steps as transforms, pixels, and the form of masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from detzoo.backbones.pretrained import TORCHVISION
from detzoo.data.sample import Transform
from detzoo.data.transforms import (
    CenterPad,
    Crop,
    Expand,
    FilterBoxes,
    Flip,
    InstaBoost,
    MinIoUCrop,
    MixUp,
    Mosaic,
    OneOf,
    Pad,
    PhotometricDistortion,
    RandomAffine,
    RandomCenterCropPad,
    RandomHSV,
    RandomShift,
    Resize,
    ShrinkSemanticMap,
)
from detzoo.data.tta import TTA
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

Sizes = tuple[tuple[int, int], ...]


@dataclass
class Pipeline:
    """What the steps read so far have said."""

    training: bool
    transforms: list[Transform] = field(default_factory=list)
    # (mean, std, to_rgb) of Normalize.
    normalization: tuple[tuple[float, ...], tuple[float, ...], bool] | None = None
    padding: float | None = None
    masks: Literal["none", "bitmap", "polygon"] = "none"
    # What Collect hands over, in V2's words.
    keys: set[str] = field(default_factory=lambda: {"img"})
    # Of the images, in V2's words: "color", "grayscale", or "unchanged" for any channels.
    colors: str = "color"
    # Sizes of the steps within MultiScaleFlipAug.
    test_sizes: Sizes | None = None
    # Whether the images of a test keep the size that they have.
    keeps_size: bool = False
    tta: TTA = TTA()
    # At most so many proposals per image; None: all.
    proposals: int | None = None


def read_pipeline(nodes: list[Node], training: bool) -> Pipeline:
    """A whole pipeline."""
    pipeline = Pipeline(training)
    for node in nodes:
        read_step(node, pipeline)
    return pipeline


def read_step(node: Node, pipeline: Pipeline) -> None:
    """One step: most add a transform, some only say something. One that cannot be read is noted."""
    transform: Transform | None = node.reading.attempt(
        node.path, lambda: node.adapt("transform", pipeline), None
    )
    if transform is None:
        return
    pipeline.transforms.append(transform)
    if pipeline.normalization is not None and not isinstance(transform, _MOVES):
        reason = "comes after Normalize; detzoo normalizes last, so it would see other values"
        node.reading.note(node.error("type", reason))


# Steps that only move pixels: before or after Normalize, they do the same.
_MOVES = (CenterPad, Crop, FilterBoxes, Flip, MinIoUCrop, Pad, Resize, ShrinkSemanticMap)


@adapts("transform", "LoadImageFromFile")
def load_image(node: Node, pipeline: Pipeline) -> None:
    node.ignore("to_float32", "file_client_args")
    pipeline.colors = node.take("color_type", "color")
    if pipeline.colors not in ("color", "grayscale", "unchanged"):
        raise node.error("color_type", f"{pipeline.colors!r} is not color, grayscale or unchanged")


@adapts("transform", "LoadAnnotations")
def load_annotations(node: Node, pipeline: Pipeline) -> None:
    node.expect("with_bbox", True, "as training needs boxes", default=True)
    pipeline.keys.add("gt_bboxes")
    if node.take("with_label", True):
        pipeline.keys.add("gt_labels")
    if node.take("with_seg", False):
        pipeline.keys.add("gt_semantic_seg")
    if node.take("with_mask", False):
        pipeline.keys.add("gt_masks")
        pipeline.masks = "bitmap" if node.take("poly2mask", True) else "polygon"
    else:
        node.take("poly2mask", True)


@adapts("transform", "Resize")
def resize(node: Node, pipeline: Pipeline) -> Resize | None:
    keep_ratio = node.take("keep_ratio", True)
    if pipeline.keeps_size:
        if not keep_ratio:
            raise node.error("keep_ratio", "images keep their size here, and so their ratio")
        return None
    if pipeline.test_sizes is None:
        sizes = sizes_of(node)
    else:
        sizes = pipeline.test_sizes
        if node.take("img_scale", None) is not None:
            node.reading.aside[node.at("img_scale")] = "MultiScaleFlipAug says the size"
    mode = node.take("multiscale_mode", "range")
    if len(sizes) == 1:
        mode = "value"  # there is nothing to choose
    backend = node.take("backend", "cv2")
    if backend not in ("cv2", "pillow"):
        raise node.error("backend", f"{backend!r} is neither 'cv2' nor 'pillow'")
    return Resize(
        sizes=sizes,
        keep_ratio=keep_ratio,
        mode=mode,
        ratio_range=node.take("ratio_range", None),
        library="pillow" if backend == "pillow" else "opencv",
    )


def sizes_of(node: Node) -> Sizes:
    """``img_scale``: one size, or several."""
    given = node.take("img_scale")
    sizes = (given,) if isinstance(given[0], int) else given
    return tuple((size[0], size[1]) for size in sizes)


@adapts("transform", "RandomFlip")
def flip(node: Node, pipeline: Pipeline) -> Flip | None:
    ratio = node.take("flip_ratio", None)
    direction = node.take("direction", "horizontal")
    if not pipeline.training:
        # Whether a test flips is said by MultiScaleFlipAug; V2 looks at no ratio then.
        if ratio not in (None, 0, 0.5):
            raise node.error("flip_ratio", "a test pipeline flips through MultiScaleFlipAug.flip")
        if direction != "horizontal":
            raise node.error("direction", f"{direction!r}: see MultiScaleFlipAug.flip_direction")
        return None
    if any(isinstance(one, Flip) for one in pipeline.transforms):
        # V2 draws once: the second step flips what the first has flipped.
        pipeline.transforms = [one for one in pipeline.transforms if not isinstance(one, Flip)]
        node.reading.replaced[node.path] = "repeats the first RandomFlip, which undoes it: no flips"
        return None
    directions = direction if isinstance(direction, tuple) else (direction,)
    if not isinstance(ratio, tuple):
        return Flip(probability=0.0 if ratio is None else float(ratio), directions=directions)
    if len(ratio) != len(directions):
        raise node.error("flip_ratio", f"{ratio} is not a value for each of {directions}")
    if len(set(ratio)) > 1:
        raise node.error("flip_ratio", f"{ratio}: here each direction is as likely as another")
    return Flip(probability=float(sum(ratio)), directions=directions)


@adapts("transform", "Normalize")
def normalize(node: Node, pipeline: Pipeline) -> None:
    mean, std = _channels_of(node, "mean", pipeline), _channels_of(node, "std", pipeline)
    pipeline.normalization = (mean, std, node.take("to_rgb", True))
    if pipeline.padding is None and any(isinstance(one, Pad) for one in pipeline.transforms):
        pipeline.padding = 0.0  # black, which is normalized like the image


def _channels_of(node: Node, key: str, pipeline: Pipeline) -> tuple[float, ...]:
    """A value for each channel of the image; one alone is that of all."""
    given = node.take(key)
    values = tuple(float(v) for v in (given if isinstance(given, tuple) else (given,)))
    if pipeline.colors == "unchanged":
        return values
    count = 3 if pipeline.colors == "color" else 1
    if len(values) not in (1, count):
        raise node.error(key, f"{values} is not a value for each of {count} channels")
    return values * count if len(values) == 1 else values


@adapts("transform", "Pad")
def pad(node: Node, pipeline: Pipeline) -> Pad:
    size, divisor = node.take("size", None), node.take("size_divisor", None)
    values = node.optional_child("pad_val")
    if values is not None:
        values.expect("masks", 0, "as masks are padded with nothing")
        given = values.take("img", 0)
        grays = set(given if isinstance(given, tuple) else (given,))
        if len(grays) != 1:
            raise values.error("img", "is not gray")
        gray = float(grays.pop())
        if pipeline.normalization is None:
            pipeline.padding = gray
        elif gray != 0:
            raise values.error("img", f"{gray}: after Normalize, images are padded with 0")
    if node.take("pad_to_square", False):
        return Pad(square=True)
    return Pad(size=size) if divisor is None else Pad(divisor=divisor)


@adapts("transform", "RandomShift")
def random_shift(node: Node, pipeline: Pipeline) -> RandomShift:
    node.expect("filter_thr_px", 1, "as objects wider and higher than a pixel stay")
    return RandomShift(
        probability=float(node.take("shift_ratio", 0.5)), max_shift=node.take("max_shift_px", 32)
    )


@adapts("transform", "RandomCrop")
def crop(node: Node, pipeline: Pipeline) -> Crop:
    node.expect("recompute_bbox", False, "as boxes are cut, not made anew from masks")
    node.expect("bbox_clip_border", True, "as boxes are cut at the image")
    kind = node.take("crop_type", "absolute")
    return Crop(
        size=tuple(node.take("crop_size")),
        kind=kind,
        allow_empty=node.take("allow_negative_crop", False),
    )


@adapts("transform", "AutoAugment")
def one_of(node: Node, pipeline: Pipeline) -> OneOf:
    """V2's AutoAugment, which draws one of several lists of steps."""
    return OneOf(policies=tuple(_policy(steps, pipeline) for steps in node.lists("policies")))


def _policy(steps: list[Node], pipeline: Pipeline) -> tuple[Transform, ...]:
    transforms, is_resized = [], False
    for step in steps:
        if step.type == "Resize":
            reason = "as V2 only resizes a second time where it is told to"
            step.expect("override", is_resized, reason, default=False)
            is_resized = True
        transforms.append(step.adapt("transform", pipeline))
    return tuple(transforms)


@adapts("transform", "DefaultFormatBundle")
def format_bundle(node: Node, pipeline: Pipeline) -> None:
    pass


@adapts("transform", "ImageToTensor")
def image_to_tensor(node: Node, pipeline: Pipeline) -> None:
    node.expect("keys", ("img",), "what is an image")


@adapts("transform", "Collect")
def collect(node: Node, pipeline: Pipeline) -> None:
    node.ignore("meta_keys")
    keys = node.take("keys")
    if set(keys) != pipeline.keys:
        raise node.error("keys", f"{keys} are not what was loaded: {tuple(sorted(pipeline.keys))}")


@adapts("transform", "MultiScaleFlipAug")
def test_views(node: Node, pipeline: Pipeline) -> None:
    """MultiScaleFlipAug: test-time augmentation, and the steps for each version of an image."""
    scale_factor = node.take("scale_factor", None)
    if scale_factor is None:
        sizes = sizes_of(node)
        pipeline.test_sizes = sizes[:1]
        scales = sizes if len(sizes) > 1 else ()
    elif scale_factor != 1.0:
        raise node.error("scale_factor", f"{scale_factor} is not 1.0, the size that images have")
    else:
        scales = ()
        pipeline.keeps_size = True
        node.expect("img_scale", None, "as there is a scale_factor")
    directions: Any = node.take("flip_direction", "horizontal")
    flips: Any = (directions,) if isinstance(directions, str) else directions
    pipeline.tta = TTA(scales=scales, flips=flips if node.take("flip", False) else ())
    for step in node.children("transforms"):
        read_step(step, pipeline)


@adapts("transform", "LoadProposals")
def load_proposals(node: Node, pipeline: Pipeline) -> None:
    pipeline.keys.add("proposals")
    pipeline.proposals = node.take("num_max_proposals", None)


@adapts("transform", "ToTensor")
def to_tensor(node: Node, pipeline: Pipeline) -> None:
    node.expect("keys", ("proposals",), "what else an image of a test comes with")


@adapts("transform", "ToDataContainer")
def to_container(node: Node, pipeline: Pipeline) -> None:
    for part in node.children("fields"):
        part.expect("key", "proposals", "what else an image of a test comes with")
        part.expect("stack", False, "as images have different numbers of proposals")


@adapts("transform", "SegRescale")
def shrink_semantic_map(node: Node, pipeline: Pipeline) -> ShrinkSemanticMap:
    factor = node.take("scale_factor", 1)
    return ShrinkSemanticMap(stride=round(1 / factor))


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
    node.expect("by_box", True, "as objects are filtered by their boxes")
    node.expect("by_mask", False, "as objects are filtered by their boxes")
    # V2's words are the other way round: True drops an image that has become empty.
    return FilterBoxes(
        min_size=_floats(node.take("min_gt_bbox_wh", (1.0, 1.0))),
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
