"""``torchvision.transforms.v2`` transforms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from detzoo.config import config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.calls import construct, parse_call
from detzoo.data.transforms.geometry import has_area, resized_info
from detzoo.errors import DataError
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import BitmapMasks, Targets

# The label of ignored boxes, which are transformed with the others.
_IGNORED = -1
# Added to the label of an object without a mask.
_NO_MASK = 1 << 32


@config
class TorchvisionV2(Transform):
    """Applies any ``torchvision.transforms.v2`` transform.

    The transform receives the image as RGB, all boxes and masks as tv_tensors, and random numbers
    from the sample's own generator. Objects whose box becomes empty or leaves the image are
    removed. Geometric transforms are for training only: ``info.scale``, ``offset`` and ``flip`` do
    not reflect them.

    Args:
        call: The transform as in Python code, e.g. "ColorJitter(brightness=0.4, hue=0.1)";
            arguments are plain values or transforms, as in "RandomApply([GaussianBlur(5)], p=0.3)".
    """

    call: str

    def __post_init__(self) -> None:
        _build(self.call)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        targets = sample.targets
        size = sample.image.shape[0], sample.image.shape[1]
        boxes = torch.cat([targets.boxes, targets.ignored_boxes])
        inputs = {
            "image": tv_tensors.Image(_to_rgb(sample.image)),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
            "labels": torch.cat(
                [targets.labels, targets.labels.new_full((len(targets.ignored_boxes),), _IGNORED)]
            ),
        }
        if targets.masks is not None:
            bitmaps = targets.masks.to_bitmaps().bitmaps
            nothing = bitmaps.new_zeros((len(targets.ignored_boxes), *size))
            inputs["masks"] = tv_tensors.Mask(torch.cat([bitmaps, nothing]))
            if targets.masks.is_missing is not None:
                # Encoded in the label, since transforms that drop objects handle no other
                # attributes.
                marked = targets.labels + _NO_MASK * targets.masks.is_missing
                inputs["labels"][: len(marked)] = marked
        if targets.semantic_map is not None:
            # Shifted by one, so that the 0 of the area outside the image means unlabeled.
            inputs["semantic_map"] = tv_tensors.Mask(targets.semantic_map[None] + 1)
        transform = _build(self.call)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            outputs = transform(inputs)
        image = outputs["image"]
        if image.dtype != torch.uint8:
            raise DataError(
                f"torchvision transform {self.call}: converted the image to {image.dtype}; pixels "
                "stay uint8 here, and the detector normalizes them. Remove ToDtype or Normalize."
            )
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy()[..., ::-1])
        info = resized_info(sample.info, (pixels.shape[0], pixels.shape[1]))
        return Sample(pixels, _targets(outputs, info.size), info)


def _targets(outputs: dict[str, Tensor], size: tuple[int, int]) -> Targets:
    boxes = clip_boxes(outputs["boxes"].as_subclass(Tensor), size)
    labels = outputs["labels"]
    keep = has_area(boxes)
    regular, ignored = keep & (labels != _IGNORED), keep & (labels == _IGNORED)
    is_missing, labels = labels >= _NO_MASK, labels % _NO_MASK
    masks = None
    if "masks" in outputs:
        missing = is_missing[regular] if is_missing.any() else None
        masks = BitmapMasks(outputs["masks"].as_subclass(Tensor)[regular], missing)
    semantic_map = None
    if "semantic_map" in outputs:
        semantic_map = outputs["semantic_map"].as_subclass(Tensor)[0] - 1
    return Targets(boxes[regular], labels[regular], boxes[ignored], masks, semantic_map)


def _to_rgb(image: np.ndarray) -> Tensor:
    """(H, W, 3) BGR, uint8 or float32 -> (3, H, W) RGB uint8."""
    if image.dtype != np.uint8:
        image = image.round().clip(0, 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)


@functools.cache
def _build(call: str) -> Callable[..., Any]:
    node = parse_call(call, "call")
    built: Callable[..., Any] = construct(node, _find, "torchvision.transforms.v2", "call")
    return built


def _find(name: str) -> Callable[..., Any] | None:
    cls = vars(v2).get(name)
    return cls if isinstance(cls, type) and issubclass(cls, v2.Transform) else None
