"""Data pipelines: V2's lists of steps as transforms, pixels, and the form of masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from detzoo.data.sample import Transform
from detzoo.data.transforms import Crop, Flip, Pad, Resize
from detzoo.mmdet.node import Node

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
    # Sizes of the steps within MultiScaleFlipAug.
    test_sizes: Sizes | None = None
    views: tuple[Sizes, bool] | None = None


def read_pipeline(nodes: list[Node], training: bool) -> Pipeline:
    """A whole pipeline."""
    pipeline = Pipeline(training)
    for node in nodes:
        read_step(node, pipeline)
    return pipeline


def read_step(node: Node, pipeline: Pipeline) -> None:
    """One step: most add a transform, some only say something."""
    transform: Transform | None = node.adapt("transform", pipeline)
    if transform is not None:
        pipeline.transforms.append(transform)


def load_image(node: Node, pipeline: Pipeline) -> None:
    node.take("to_float32", False)  # photometric steps compute in float by themselves
    node.expect("color_type", "color", "as detectors see colours")


def load_annotations(node: Node, pipeline: Pipeline) -> None:
    node.expect("with_bbox", True, "as training needs boxes", default=True)
    pipeline.keys.add("gt_bboxes")
    if node.take("with_label", True):
        pipeline.keys.add("gt_labels")
    if node.take("with_mask", False):
        pipeline.keys.add("gt_masks")
        pipeline.masks = "bitmap" if node.take("poly2mask", True) else "polygon"
    else:
        node.take("poly2mask", True)


def resize(node: Node, pipeline: Pipeline) -> Resize:
    keep_ratio = node.take("keep_ratio", True)
    sizes = sizes_of(node) if pipeline.test_sizes is None else pipeline.test_sizes
    mode = node.take("multiscale_mode", "range")
    if len(sizes) == 1:
        mode = "value"  # there is nothing to choose
    return Resize(
        sizes=sizes, keep_ratio=keep_ratio, mode=mode, ratio_range=node.take("ratio_range", None)
    )


def sizes_of(node: Node) -> Sizes:
    """``img_scale``: one size, or several."""
    given = node.take("img_scale")
    sizes = (given,) if isinstance(given[0], int) else given
    return tuple((size[0], size[1]) for size in sizes)


def flip(node: Node, pipeline: Pipeline) -> Flip | None:
    ratio = node.take("flip_ratio", None)
    direction = node.take("direction", "horizontal")
    if not pipeline.training:
        # Test-time flips are those of MultiScaleFlipAug.
        if ratio:
            raise node.error("flip_ratio", "a test pipeline flips through MultiScaleFlipAug.flip")
        return None
    directions = direction if isinstance(direction, tuple) else (direction,)
    return Flip(probability=0.0 if ratio is None else float(ratio), directions=directions)


def normalize(node: Node, pipeline: Pipeline) -> None:
    mean, std = (tuple(float(v) for v in node.take(key)) for key in ("mean", "std"))
    pipeline.normalization = (mean, std, node.take("to_rgb", True))


def pad(node: Node, pipeline: Pipeline) -> Pad:
    size, divisor = node.take("size", None), node.take("size_divisor", None)
    if node.take("pad_to_square", False):
        raise node.error("pad_to_square", "no pipeline read so far pads to squares")
    return Pad(size=size) if divisor is None else Pad(divisor=divisor)


def crop(node: Node, pipeline: Pipeline) -> Crop:
    node.expect("recompute_bbox", False, "as boxes are cut, not made anew from masks")
    node.expect("bbox_clip_border", True, "as boxes are cut at the image")
    kind = node.take("crop_type", "absolute")
    return Crop(
        size=tuple(node.take("crop_size")),
        kind=kind,
        allow_empty=node.take("allow_negative_crop", False),
    )


def format_bundle(node: Node, pipeline: Pipeline) -> None:
    pass


def image_to_tensor(node: Node, pipeline: Pipeline) -> None:
    node.expect("keys", ("img",), "what is an image")


def collect(node: Node, pipeline: Pipeline) -> None:
    node.ignore("meta_keys")
    keys = node.take("keys")
    if set(keys) != pipeline.keys:
        raise node.error("keys", f"{keys} are not what was loaded: {tuple(sorted(pipeline.keys))}")


def test_views(node: Node, pipeline: Pipeline) -> None:
    """MultiScaleFlipAug: the views of an image in a test, and the steps for each."""
    sizes, flips = sizes_of(node), node.take("flip", False)
    node.expect("flip_direction", "horizontal", "as test-time flips are horizontal")
    if len(sizes) > 1 or flips:
        pipeline.views = (sizes, flips)
    pipeline.test_sizes = sizes[:1]
    for step in node.children("transforms"):
        read_step(step, pipeline)
