"""Boxes, masks and labels on pictures, with supervision's annotators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from detzoo.structures import Detections

if TYPE_CHECKING:
    import supervision as sv


# Colors of classes: those of Okabe and Ito, and nine more that stay apart from them and from each
# other by a CIELAB distance of 15, also for people who cannot tell red from green or blue from
# yellow. Classes beyond them share theirs.
PALETTE = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#8000E0"),
    *("#604020", "#C0E0A0", "#802060", "#C0A060", "#2040A0", "#8060E0", "#A04000", "#A0E0C0"),
)


def draw(image: np.ndarray, detections: Detections, class_names: Sequence[str]) -> np.ndarray:
    """A copy of ``image`` (H, W, 3) BGR with the detections, which are in its pixels.

    A class has the same color in every picture. Labels stay in the picture and off each other, as
    far as there is room. Of images with more channels the first three are
    shown, others in gray.
    """
    # Imported here because it brings matplotlib, which takes a second.
    import supervision as sv

    colors = sv.ColorPalette.from_hex(list(PALETTE))
    found = detections.to_supervision(class_names)
    scale = max(image.shape[:2]) / 1000
    picture = image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, axis=2)
    picture = np.ascontiguousarray(picture).copy()
    if found.mask is not None:
        picture = sv.MaskAnnotator(colors, opacity=0.4).annotate(picture, found)
    thickness = max(1, round(2 * scale))
    picture = sv.BoxAnnotator(colors, thickness=thickness).annotate(picture, found)
    labels = [
        f"{class_names[label]} {score:.2f}"
        for label, score in zip(detections.labels.tolist(), detections.scores.tolist())
    ]
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
