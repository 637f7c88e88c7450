"""Detectors whose shapes depend on nothing but the size of their input."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.detectors.solo import SOLOConfig
from detzoo.detectors.yolact import YOLACTConfig
from detzoo.errors import ConfigError
from detzoo.heads.roi.coarse_mask_head import CoarseMaskHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.postprocess.select import Select
from detzoo.postprocess.static import StaticSelect
from detzoo.structures import Detections, ImageBatch, ImageInfo, RoIMasks
from detzoo.structures.images import Size

# Detectors whose masks are not grids in boxes.
WHOLE_IMAGE_MASKS = (SOLOConfig, YOLACTConfig)


class StaticDetections(NamedTuple):
    """N detections in each of B images, of which the first ``num`` (B,) count.

    ``boxes`` (B, N, 4) xyxy in input pixels, ``scores`` (B, N) in descending order, ``labels``
    (B, N), all zero beyond. ``masks`` (B, N, m, m) are probabilities in the boxes.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    num: Tensor
    masks: Tensor | None = None


class StaticDetector(nn.Module):
    """The same detector with shapes that do not depend on what it sees.

    It detects the same as ``detector``, unless an image has more candidates than
    ``max_candidates``: see :class:`~detzoo.postprocess.static.StaticSelect`. Parameters are shared.
    Raises :class:`ConfigError` for detectors that have no such form.
    """

    def __init__(self, detector: Detector, max_candidates: int = 1000) -> None:
        super().__init__()
        require_static_form(detector.config)
        self.detector = _with_static_selects(detector, max_candidates).eval()

    @property
    def channels(self) -> int:
        """The number of channels of its input."""
        return self.detector.config.input_pixels.channels

    @property
    def predicts_masks(self) -> bool:
        return self.detector.config.predicts_masks

    @property
    def mask_threshold(self) -> float | None:
        """The probability from which a pixel belongs to an object; None without masks."""
        if not self.predicts_masks:
            return None
        configs = (getattr(module, "config", None) for module in self.detector.modules())
        return next(
            c.threshold for c in configs if isinstance(c, MaskHeadConfig | CoarseMaskHeadConfig)
        )

    def forward(self, pixels: Tensor, sizes: Tensor) -> StaticDetections:
        """Normalized pixels (B, 3, H, W), of which ``sizes`` (B, 2: height, width) show the image,
        the rest is padding."""
        padded = (pixels.shape[2], pixels.shape[3])
        infos = tuple(
            ImageInfo(
                id=number,
                path="",
                original_size=padded,
                size=cast(Size, (size[0], size[1])),
                padded_size=padded,
            )
            for number, size in enumerate(sizes.unbind(0))
        )
        images = ImageBatch(pixels, infos)
        return stacked(self.detector.detect(self.detector.extract_features(pixels), images))


def require_static_form(config: DetectorConfig) -> None:
    """Raises :class:`ConfigError` for detectors that have none."""
    if config.needs_proposals:
        raise ConfigError(
            "this detector is given its proposals, so it cannot be exported: take one that "
            "proposes its own"
        )
    if isinstance(config, WHOLE_IMAGE_MASKS):
        raise ConfigError(
            "the masks of this detector cover the whole image, which cannot be exported yet: "
            "take one with masks in boxes, such as Mask R-CNN"
        )


def stacked(found: list[Detections]) -> StaticDetections:
    """Detections of equal number, of which those with a negative score are padding."""
    boxes = torch.stack([image.boxes for image in found])
    scores = torch.stack([image.scores for image in found])
    labels = torch.stack([image.labels for image in found])
    counts = scores >= 0
    masks = None
    if found[0].masks is not None:
        masks = torch.stack([cast(RoIMasks, image.masks).probabilities for image in found])
        masks = torch.where(counts[..., None, None], masks, 0.0)
    return StaticDetections(
        torch.where(counts[..., None], boxes, 0.0),
        scores.clamp(min=0),
        torch.where(counts, labels, 0),
        counts.sum(1),
        masks,
    )


def _with_static_selects(detector: Detector, max_candidates: int) -> Detector:
    """A copy that shares its tensors, whose heads select in the static way."""
    shared = {id(t): t for t in (*detector.parameters(), *detector.buffers())}
    copied = copy.deepcopy(detector, cast("dict[int, Any]", shared))
    for module in copied.modules():
        config = getattr(module, "config", None)
        if not dataclasses.is_dataclass(config):
            continue
        changes = {
            field.name: StaticSelect.of(value, max_candidates)
            for field in dataclasses.fields(config)
            if isinstance(value := getattr(config, field.name), Select)
        }
        if changes:
            module.config = dataclasses.replace(cast(Any, config), **changes)
    return copied
