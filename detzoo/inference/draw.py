"""Boxes, masks and labels on pictures, with supervision's annotators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detzoo.structures import Detections


def draw(image: np.ndarray, detections: Detections, class_names: Sequence[str]) -> np.ndarray:
    """A copy of ``image`` (H, W, 3) BGR with the detections, which are in its pixels.

    A class has the same colour in every picture. Of images with more channels the first three are
    shown, others in grey.
    """
    # Imported here because it brings matplotlib, which takes a second.
    import supervision as sv

    found = detections.to_supervision(class_names)
    scale = max(image.shape[:2]) / 1000
    picture = image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, axis=2)
    picture = np.ascontiguousarray(picture).copy()
    if found.mask is not None:
        picture = sv.MaskAnnotator(opacity=0.4).annotate(picture, found)
    thickness = max(1, round(2 * scale))
    picture = sv.BoxAnnotator(thickness=thickness).annotate(picture, found)
    labels = [
        f"{class_names[label]} {score:.2f}"
        for label, score in zip(detections.labels.tolist(), detections.scores.tolist())
    ]
    annotator = sv.LabelAnnotator(
        text_scale=min(max(0.5 * scale, 0.35), 1.5),
        text_thickness=max(1, round(scale)),
        text_padding=max(2, round(5 * scale)),
    )
    return annotator.annotate(picture, found, labels)
