"""Detectors whose shapes depend on nothing but the size of their input."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.errors import ConfigError
from detzoo.inference.exported import MaskKind
from detzoo.ops.fixed_shapes import fixed_shapes
from detzoo.ops.masks import paste_all_masks
from detzoo.postprocess.matrix_nms import MaskSelect
from detzoo.postprocess.select import Select
from detzoo.postprocess.static import (
    MAX_BOXES,
    MAX_MASKS,
    StaticMaskSelect,
    StaticSelect,
    noting_left_out,
)
from detzoo.structures import (
    Detections,
    ImageBatch,
    ImageInfo,
    ImageMasks,
    PanopticPrediction,
    RoIMasks,
)
from detzoo.structures.images import Size

# As the detector predicts masks, or drawn into the input.
MaskForm = Literal["grid", "full"]


class StaticDetections(NamedTuple):
    """N detections in each of B images, of which the first ``num`` (B,) count.

    ``boxes`` (B, N, 4) xyxy in input pixels, ``scores`` (B, N) in descending order, ``labels``
    (B, N), all zero beyond. ``left_out`` (B,) is how many candidates did not fit: where it is zero,
    nothing is missing.

    ``masks`` are probabilities (B, N, m, m) in the boxes, or (B, N, h, w) over the whole input; or
    (B, N, H, W) uint8, 1 inside, of the size of the input.

    Panoptic detectors have ``segments``, logits (B, K, h, w) over the whole input: of K classes of
    stuff, the last of them things (Panoptic FPN), or of K queries (MaskFormer), whose
    ``segment_scores`` (B, K) are negative if they found nothing, and whose ``segment_labels``
    (B, K) are classes of things, then those of stuff.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    num: Tensor
    left_out: Tensor
    masks: Tensor | None = None
    segments: Tensor | None = None
    segment_scores: Tensor | None = None
    segment_labels: Tensor | None = None


class StaticDetector(nn.Module):
    """The same detector with shapes that do not depend on what it sees.

    It detects the same as ``detector``, unless an image has more candidates than
    ``max_candidates``: by default 1000 boxes, or 100 masks of a level in detectors without boxes
    (see :mod:`detzoo.postprocess.static`). With ``masks`` "full" they are drawn into the input.
    Parameters are shared. Raises :class:`ConfigError` for detectors that have no such form.
    """

    def __init__(
        self, detector: Detector, max_candidates: int | None = None, masks: MaskForm = "grid"
    ) -> None:
        super().__init__()
        require_static_form(detector.config)
        self.draws_masks = masks == "full" and detector.config.predicts_masks
        self.detector = _with_static_selects(detector, max_candidates).eval()

    @property
    def channels(self) -> int:
        """The number of channels of its input."""
        return self.detector.config.input_pixels.channels

    @property
    def predicts_masks(self) -> bool:
        return self.detector.config.predicts_masks

    @property
    def mask_kind(self) -> MaskKind | None:
        """What its masks are, see :class:`~detzoo.inference.exported.Details`."""
        if not self.predicts_masks:
            return None
        if self.draws_masks:
            return "drawn"
        return "input" if self.detector.config.masks_cover_input else "boxes"

    @property
    def mask_threshold(self) -> float | None:
        """The probability from which a pixel belongs to an object, 0 for masks of logits; None
        without masks."""
        return next(_mask_thresholds(self.detector.config), 0.0) if self.predicts_masks else None

    def forward(self, pixels: Tensor, sizes: Tensor) -> StaticDetections:
        """Normalized pixels (B, 3, H, W), of which ``sizes`` (B, 2: height, width) show the image,
        the rest is padding."""
        return self.detect(self.detector.extract_features(pixels), pixels, sizes)

    def detect(
        self, features: tuple[Tensor, ...], pixels: Tensor, sizes: Tensor
    ) -> StaticDetections:
        """The rest of :meth:`forward`, from the ``features`` of ``pixels`` on."""
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
        with noting_left_out() as noted, fixed_shapes():
            found = self.detector.detect(features, images)
        # The heads select image by image.
        left_out = torch.stack(noted).view(len(found), -1).sum(1) if noted else sizes[:, 0] * 0
        result = stacked(found, left_out)
        if not self.draws_masks:
            return result
        drawn = [self._drawn(image, info) for image, info in zip(found, infos)]
        counts = torch.arange(result.scores.shape[1], device=pixels.device) < result.num[:, None]
        return result._replace(masks=torch.stack(drawn) * counts[..., None, None])

    def _drawn(self, found: Detections, info: ImageInfo) -> Tensor:
        """The masks (N, H, W) of an image in its input."""
        masks = found.masks
        if isinstance(masks, RoIMasks):
            probabilities, threshold = masks.probabilities, masks.threshold
            return paste_all_masks(probabilities, found.boxes, info.padded_size, threshold)
        assert isinstance(masks, ImageMasks)
        return masks.at_input(info.padded_size).bitmaps


def require_static_form(config: DetectorConfig) -> None:
    """Raises :class:`ConfigError` for detectors that have none."""
    if config.needs_proposals:
        raise ConfigError(
            "this detector is given its proposals, so it cannot be exported: take one that "
            "proposes its own"
        )


def _mask_thresholds(config: Any) -> Iterator[float]:
    """Those in the configurations of mask heads."""
    for part in _parts(config):
        if isinstance(part, MaskSelect):
            yield part.mask_threshold
        elif "Mask" in type(part).__name__ and hasattr(part, "threshold"):
            yield part.threshold


def _parts(config: Any) -> Iterator[Any]:
    """All configurations within ``config``, which comes first."""
    if isinstance(config, tuple):
        for part in config:
            yield from _parts(part)
    elif dataclasses.is_dataclass(config):
        yield config
        for field in dataclasses.fields(config):
            yield from _parts(getattr(config, field.name))


def stacked(found: list[Detections], left_out: Tensor) -> StaticDetections:
    """Detections of equal number, of which those with a negative score are padding."""
    boxes = torch.stack([image.boxes for image in found])
    scores = torch.stack([image.scores for image in found])
    labels = torch.stack([image.labels for image in found])
    counts = scores >= 0
    masks = None
    if found[0].masks is not None:
        grids = [cast("RoIMasks | ImageMasks", image.masks).probabilities for image in found]
        masks = torch.where(counts[..., None, None], torch.stack(grids), 0.0)
    maps = [cast(PanopticPrediction, one.panoptic) for one in found if one.panoptic is not None]
    return StaticDetections(
        torch.where(counts[..., None], boxes, 0.0),
        scores.clamp(min=0),
        torch.where(counts, labels, 0),
        counts.sum(1),
        left_out,
        masks,
        *(torch.stack(of_images) for of_images in zip(*(one.tensors for one in maps))),
    )


def _with_static_selects(detector: Detector, max_candidates: int | None) -> Detector:
    """A copy that shares its tensors, whose heads select in the static way."""
    shared = {id(t): t for t in (*detector.parameters(), *detector.buffers())}
    copied = copy.deepcopy(detector, cast("dict[int, Any]", shared))
    for module in copied.modules():
        config = getattr(module, "config", None)
        if not dataclasses.is_dataclass(config):
            continue
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(config):
            select = getattr(config, field.name)
            if isinstance(select, Select):
                changes[field.name] = StaticSelect.of(select, max_candidates or MAX_BOXES)
            elif isinstance(select, MaskSelect):
                changes[field.name] = StaticMaskSelect.of(select, max_candidates or MAX_MASKS)
        if changes:
            module.config = dataclasses.replace(cast(Any, config), **changes)
    return copied
