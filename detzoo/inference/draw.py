"""Draws boxes, masks and labels on images, with supervision's annotators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from torch import Tensor

from detzoo.structures import Detections, Targets

if TYPE_CHECKING:
    import supervision as sv


# Class colors: the Okabe-Ito palette, and nine more that differ from it and from each other by a
# CIELAB distance of at least 15, also under red-green and blue-yellow color blindness. Further
# classes reuse these colors.
PALETTE = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#8000E0"),
    *("#604020", "#C0E0A0", "#802060", "#C0A060", "#2040A0", "#8060E0", "#A04000", "#A0E0C0"),
)

# The color of ignored boxes.
IGNORED = (160, 160, 160)


def draw(
    image: np.ndarray,
    detections: Detections,
    class_names: Sequence[str],
    tracks: Tensor | None = None,
) -> np.ndarray:
    """A copy of ``image`` (H, W, 3) BGR with the detections, which are in its pixels.

    A class has the same color in every image, and a track where there are ``tracks`` (N,) int64.
    Labels are kept inside the image and do not overlap, as far as there is room. Of images with
    more than three channels, the first three are shown; images with fewer are shown in gray.
    """
    labels = [
        f"{class_names[label]} {score:.2f}"
        for label, score in zip(detections.labels.tolist(), detections.scores.tolist())
    ]
    found = detections.to_supervision(class_names)
    if tracks is not None:
        numbers = tracks.tolist()
        labels = [f"#{n} {text}" if n >= 0 else text for n, text in zip(numbers, labels)]
        found.class_id = tracks.clamp(min=0).numpy()  # which the color follows
    return _annotate(_picture(image), found, labels)


def draw_targets(image: np.ndarray, targets: Targets, class_names: Sequence[str]) -> np.ndarray:
    """A copy of ``image`` (H, W, C) with its ground truth, drawn as :func:`draw` draws detections.

    ``image`` may be of floats, as transforms of colors leave it. Ignored boxes are gray.
    """
    picture = _picture(image.clip(0, 255).astype(np.uint8))
    thickness = _thickness(picture)
    for x1, y1, x2, y2 in targets.ignored_boxes.round().int().tolist():
        cv2.rectangle(picture, (x1, y1), (x2, y2), IGNORED, thickness)
    masks = None if targets.masks is None else targets.masks.to_bitmaps()
    objects = Detections(targets.boxes, targets.boxes.new_ones(len(targets)), targets.labels, masks)
    names = [class_names[label] for label in targets.labels.tolist()]
    return _annotate(picture, objects.to_supervision(class_names), names)


def _picture(image: np.ndarray) -> np.ndarray:
    """A copy with three channels to draw on."""
    picture = image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, axis=2)
    return np.ascontiguousarray(picture).copy()


def _thickness(picture: np.ndarray) -> int:
    """Line thickness in pixels."""
    return max(1, round(max(picture.shape[:2]) / 500))


def _annotate(picture: np.ndarray, found: sv.Detections, labels: Sequence[str]) -> np.ndarray:
    # Imported here because it imports matplotlib, which takes a second.
    import supervision as sv

    colors = sv.ColorPalette.from_hex(list(PALETTE))
    scale = max(picture.shape[:2]) / 1000
    if found.mask is not None:
        picture = sv.MaskAnnotator(colors, opacity=0.4).annotate(picture, found)
    picture = sv.BoxAnnotator(colors, thickness=_thickness(picture)).annotate(picture, found)
    annotator = sv.LabelAnnotator(
        colors,
        text_color=sv.ColorPalette([_readable_on(color) for color in colors.colors]),
        smart_position=True,
        text_scale=min(max(0.5 * scale, 0.35), 1.5),
        text_thickness=max(1, round(scale)),
        text_padding=max(2, round(5 * scale)),
    )
    return annotator.annotate(picture, found, labels)


def _readable_on(color: sv.Color) -> sv.Color:
    """Black or white, whichever stands out."""
    import supervision as sv

    luma = 0.299 * color.r + 0.587 * color.g + 0.114 * color.b
    return sv.Color.BLACK if luma > 128 else sv.Color.WHITE
