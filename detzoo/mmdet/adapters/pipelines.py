"""Data pipelines: V2's lists of steps as transforms, pixels, and the form of masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from detzoo.data.sample import Transform
from detzoo.data.transforms import (
    CenterPad,
    Crop,
    FilterBoxes,
    Flip,
    MinIoUCrop,
    Pad,
    Rescale,
    Resize,
    ShrinkSemanticMap,
)
from detzoo.data.transforms.colors import Color
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
    # Of what is padded when images are batched, before Normalize; None: 0 after it.
    padding: float | None = None
    masks: Literal["none", "bitmap", "polygon"] = "none"
    # What Collect hands over, in V2's words.
    keys: set[str] = field(default_factory=lambda: {"img"})
    # Of the images, in V2's words: "color", "grayscale", or "unchanged" for any channels.
    colors: str = "color"
    # Sizes of the steps within MultiScaleFlipAug.
    test_sizes: Sizes | None = None
    # Or the factor of the size that the images of a test have.
    test_factor: float | None = None
    tta: TTA = TTA()
    # At most so many proposals per image; None: all.
    proposals: int | None = None
    is_resized: bool = False


def read_pipeline(nodes: list[Node], training: bool) -> Pipeline:
    """A whole pipeline."""
    pipeline = Pipeline(training)
    for node in nodes:
        read_step(node, pipeline)
    settle_padding(pipeline)
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
# Steps that do not see the padding of those before them.
_AFTER_PADDING = (FilterBoxes, Pad, ShrinkSemanticMap)


def settle_padding(pipeline: Pipeline) -> None:
    """Leaves padding to the collation of batches, unless a later step sees it.

    Until then each Pad has the color that it pads with; None: what is 0 after Normalize.
    """
    for position, step in enumerate(pipeline.transforms):
        if not isinstance(step, Pad):
            continue
        later = pipeline.transforms[position + 1 :]
        is_seen = any(not isinstance(one, _AFTER_PADDING) for one in later)
        if is_seen and step.fill is None:
            pipeline.transforms[position] = replace(step, fill=_mean_color(pipeline))
        elif not is_seen and step.fill is not None and len(set(step.fill)) == 1:
            pipeline.padding = step.fill[0]
            pipeline.transforms[position] = replace(step, fill=None)


def pad_at_once(pipeline: Pipeline) -> None:
    """Has the steps themselves pad, where collation would with another pipeline's padding."""
    if pipeline.padding is not None:
        color = (pipeline.padding,) * 3
        pipeline.transforms = [
            replace(one, fill=color) if isinstance(one, Pad) and one.fill is None else one
            for one in pipeline.transforms
        ]
        pipeline.padding = None


def _mean_color(pipeline: Pipeline) -> Color:
    """What Normalize makes 0 (BGR), in whole values of pixels."""
    if pipeline.normalization is None:
        return 0.0, 0.0, 0.0
    mean, _, to_rgb = pipeline.normalization
    means = mean[:3] if len(mean) >= 3 else mean[:1] * 3
    first, second, third = (float(round(value)) for value in means)
    return (third, second, first) if to_rgb else (first, second, third)


@adapts("transform", "LoadImageFromFile")
def load_image(node: Node, pipeline: Pipeline) -> None:
    node.ignore("to_float32", "file_client_args")
    pipeline.colors = node.take("color_type", "color")
    if pipeline.colors not in ("color", "grayscale", "unchanged"):
        raise node.error("color_type", f"{pipeline.colors!r} is not color, grayscale or unchanged")


@adapts("transform", "LoadAnnotations")
def load_annotations(node: Node, pipeline: Pipeline) -> None:
    node.expect("with_bbox", True, "as training needs boxes", default=True)
    node.ignore("denorm_bbox")
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


@adapts("transform", "LoadPanopticAnnotations")
def load_panoptic_annotations(node: Node, pipeline: Pipeline) -> None:
    """LoadAnnotations of panoptic maps: the masks are bitmaps."""
    node.ignore("file_client_args")
    node.expect("with_bbox", True, "as training needs boxes", default=True)
    pipeline.keys.add("gt_bboxes")
    if node.take("with_label", True):
        pipeline.keys.add("gt_labels")
    if node.take("with_mask", True):
        pipeline.keys.add("gt_masks")
        pipeline.masks = "bitmap"
    if node.take("with_seg", True):
        pipeline.keys.add("gt_semantic_seg")


@adapts("transform", "Resize")
def resize(node: Node, pipeline: Pipeline) -> Resize | Rescale | None:
    keep_ratio = node.take("keep_ratio", True)
    if pipeline.test_factor is not None:
        if not keep_ratio:
            raise node.error("keep_ratio", "images are resized by a factor here, and keep theirs")
        library = _library_of(node)
        if pipeline.test_factor == 1 and not pipeline.tta.factors:
            return None
        return Rescale(factor=pipeline.test_factor, library=library)
    if pipeline.test_sizes is None:
        sizes = sizes_of(node)
    else:
        sizes = pipeline.test_sizes
        if node.take("img_scale", None) is not None:
            node.reading.aside[node.at("img_scale")] = "MultiScaleFlipAug says the size"
    mode = node.take("multiscale_mode", "range")
    if mode not in ("range", "value"):
        raise node.error("multiscale_mode", f"{mode!r} is neither 'range' nor 'value'")
    if len(sizes) == 1:
        mode = "value"  # there is nothing to choose
    library = _library_of(node)
    node.expect("bbox_clip_border", True, "as boxes are cut at the image")
    reason = "as V2 only resizes a second time where it is told to"
    node.expect("override", pipeline.is_resized, reason, default=False)
    pipeline.is_resized = True
    return Resize(
        sizes=sizes,
        keep_ratio=keep_ratio,
        mode=mode,
        ratio_range=node.take("ratio_range", None),
        library=library,
    )


def _library_of(node: Node) -> Literal["opencv", "pillow"]:
    """``backend``."""
    backend = node.take("backend", "cv2")
    if backend not in ("cv2", "pillow"):
        raise node.error("backend", f"{backend!r} is neither 'cv2' nor 'pillow'")
    node.expect("interpolation", "bilinear", "how images are resized")
    return "pillow" if backend == "pillow" else "opencv"


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
        return Flip(probability=tuple(float(one) for one in ratio), directions=directions)
    return Flip(probability=float(sum(ratio)), directions=directions)


@adapts("transform", "Normalize")
def normalize(node: Node, pipeline: Pipeline) -> None:
    mean, std = _channels_of(node, "mean", pipeline), _channels_of(node, "std", pipeline)
    pipeline.normalization = (mean, std, node.take("to_rgb", True))


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
    color: Color | None = _padding_of(node)
    if pipeline.normalization is not None:
        if color is not None and any(color):
            reason = f"{color[0]}: after Normalize, images are padded with 0"
            raise node.error("pad_val.img", reason)
        color = None
    if node.take("pad_to_square", False):
        return Pad(square=True, fill=color)
    return Pad(size=size, fill=color) if divisor is None else Pad(divisor=divisor, fill=color)


def _padding_of(node: Node) -> Color:
    """``pad_val``: until 2.17 a plain value, of the image."""
    if not isinstance(node.left.get("pad_val"), Mapping):
        given = node.take("pad_val", None) or 0
    else:
        values = node.child("pad_val")
        values.expect("masks", 0, "as masks are padded with nothing")
        values.expect("seg", 255, "as there is no class where an image is padded")
        given = values.take("img", 0)
    return color_of(node, "pad_val", given)


def color_of(node: Node, key: str, given: Any) -> Color:
    """One value for all channels, or one for each (BGR)."""
    values = given if isinstance(given, tuple) else (given,) * 3
    if len(values) != 3:
        raise node.error(key, f"{given} is neither one value nor three")
    blue, green, red = (float(value) for value in values)
    return blue, green, red


@adapts("transform", "DefaultFormatBundle")
def format_bundle(node: Node, pipeline: Pipeline) -> None:
    node.expect("img_to_float", True, "what images always become", default=True)


@adapts("transform", "ImageToTensor")
def image_to_tensor(node: Node, pipeline: Pipeline) -> None:
    node.expect("keys", ("img",), "what is an image")


@adapts("transform", "Collect")
def collect(node: Node, pipeline: Pipeline) -> None:
    node.ignore("meta_keys")
    keys = node.take("keys")
    if pipeline.keys - set(keys) == {"gt_masks"}:
        pipeline.keys.discard("gt_masks")  # loaded for nothing
        pipeline.masks = "none"
    if set(keys) != pipeline.keys:
        raise node.error("keys", f"{keys} are not what was loaded: {tuple(sorted(pipeline.keys))}")


@adapts("transform", "MultiScaleFlipAug")
def test_views(node: Node, pipeline: Pipeline) -> None:
    """MultiScaleFlipAug: test-time augmentation, and the steps for each version of an image."""
    given = node.take("scale_factor", None)
    factors = tuple(map(float, given if isinstance(given, tuple) else (given,))) if given else ()
    scales: Sizes = ()
    if not factors:
        sizes = sizes_of(node)
        pipeline.test_sizes = sizes[:1]
        scales = sizes if len(sizes) > 1 else ()
    else:
        pipeline.test_factor = factors[0]
        node.expect("img_scale", None, "as there is a scale_factor")
    directions: Any = node.take("flip_direction", "horizontal")
    flips: Any = (directions,) if isinstance(directions, str) else directions
    pipeline.tta = TTA(
        scales=scales,
        flips=flips if node.take("flip", False) else (),
        factors=factors if len(factors) > 1 else (),
    )
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
