"""Albumentations transforms (https://albumentations.ai).

The package is optional (``pip install 'detzoo[albumentations]'``), and imported only when an
image is transformed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch

from detzoo.config import ConfigError, NonEmpty, NonNegativeFloat, UnitFloat, config
from detzoo.data.sample import Sample, SkipSample, Transform
from detzoo.data.transforms.calls import construct, parse_call
from detzoo.data.transforms.geometry import resized_info
from detzoo.structures import BitmapMasks, Targets


@config
class Albumentations(Transform):
    """Applies Albumentations transforms in sequence.

    Image, boxes, masks and semantic map are transformed together; random numbers come from the
    sample's own generator. Objects whose box leaves the image are removed. Masks become bitmaps.
    Geometric transforms are for training only: ``info.scale``, ``offset`` and ``flip`` do not
    reflect them.

    Args:
        transforms: The transforms as in Python code, e.g. "RandomGamma(p=0.2)"; arguments are plain
            values or transforms, as in "OneOf([Blur(3), MedianBlur(5)], p=0.1)".
        order: Channel order of the transforms' input. MMDetection uses BGR.
        min_visibility: Minimum fraction of the area of a box within the image; objects with less
            are removed.
        min_area: Minimum area of a box in pixels; objects with less are removed.
        allow_empty: Whether an image may lose all objects; otherwise another image is used.
    """

    transforms: NonEmpty[str]
    order: Literal["rgb", "bgr"] = "rgb"
    min_visibility: UnitFloat = 0.0
    min_area: NonNegativeFloat = 0.0
    allow_empty: bool = True

    def __post_init__(self) -> None:
        for call in self.transforms:
            parse_call(call, "transforms")

    def check(self) -> None:
        """Raises :class:`ConfigError` if albumentations is missing, or refuses a transform."""
        _compose(self)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        compose = _compose(self)
        compose.set_random_seed(int(rng.integers(2**32)))
        targets = sample.targets
        # Boxes are identified by their index, with ignored ones last.
        boxes = torch.cat([targets.boxes, targets.ignored_boxes])
        data: dict[str, Any] = {
            "image": _to_uint8(sample.image, self.order),
            "bboxes": boxes.numpy(),
            "index": np.arange(len(boxes)),
        }
        if targets.masks is not None and len(targets):
            data["masks"] = targets.masks.to_bitmaps().bitmaps.numpy().astype(np.uint8)
        if targets.semantic_map is not None:
            # Shifted by one, so that the 0 of the area outside the image means unlabeled.
            data["mask"] = targets.semantic_map.numpy() + np.uint8(1)
        found = compose(**data)
        image = np.ascontiguousarray(_reordered(found["image"], self.order))
        size = image.shape[0], image.shape[1]
        is_same_size = size == sample.image.shape[:2]
        info = sample.info if is_same_size else resized_info(sample.info, size)
        moved = _targets(targets, found, size)
        if len(moved) == 0 and not self.allow_empty:
            raise SkipSample
        return Sample(image, moved, info)


def _targets(targets: Targets, found: dict[str, Any], size: tuple[int, int]) -> Targets:
    boxes = torch.as_tensor(np.asarray(found["bboxes"], np.float32).reshape(-1, 4))
    index = torch.as_tensor(np.asarray(found["index"], np.int64))
    regular, kept = index < len(targets), index[index < len(targets)]
    masks = None
    if targets.masks is not None:
        bitmaps = torch.zeros((0, *size), dtype=torch.uint8)
        if "masks" in found:
            bitmaps = torch.from_numpy(np.ascontiguousarray(found["masks"]))[kept]
        missing = targets.masks.is_missing
        masks = BitmapMasks(bitmaps, None if missing is None else missing[kept])
    semantic_map = None
    if targets.semantic_map is not None:
        semantic_map = torch.from_numpy(np.ascontiguousarray(found["mask"])) - 1
    return Targets(boxes[regular], targets.labels[kept], boxes[~regular], masks, semantic_map)


def _to_uint8(image: np.ndarray, order: str) -> np.ndarray:
    if image.dtype != np.uint8:
        image = image.round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(_reordered(image, order))


def _reordered(image: np.ndarray, order: str) -> np.ndarray:
    """Converts between BGR, the order of samples, and ``order``."""
    return image[..., ::-1] if order == "rgb" and image.shape[2] == 3 else image


@functools.lru_cache(maxsize=32)
def _compose(config: Albumentations) -> Any:
    library = _library()
    with warnings.catch_warnings():
        # Albumentations only warns about unknown arguments.
        warnings.simplefilter("ignore", UserWarning)
        warnings.filterwarnings("error", message="Argument")
        try:
            transforms = [_build(call, library) for call in config.transforms]
        except UserWarning as warning:
            raise ConfigError(f"transforms: albumentations: {warning}") from None
        boxes = library.BboxParams(
            format="pascal_voc",
            label_fields=["index"],
            min_visibility=config.min_visibility,
            min_area=config.min_area,
            clip=True,
            filter_invalid_bboxes=True,
        )
        return library.Compose(transforms, bbox_params=boxes)


def _build(call: str, library: Any) -> Any:
    def find(name: str) -> Callable[..., Any] | None:
        cls = getattr(library, name, None)
        kinds = (library.BasicTransform, library.BaseCompose)
        return cls if isinstance(cls, type) and issubclass(cls, kinds) else None

    return construct(parse_call(call, "transforms"), find, "albumentations", "transforms")


def is_installed() -> bool:
    """Whether albumentations can be imported."""
    return importlib.util.find_spec("albumentations") is not None


def _library() -> Any:
    if not is_installed():
        raise ConfigError(
            "Albumentations: requires the package albumentations: "
            "pip install 'detzoo[albumentations]'"
        )
    # Albumentations would check for updates online.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations
