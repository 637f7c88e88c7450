"""Draws boxes, masks and labels on images, with supervision's annotators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from torch import Tensor

from detzoo.errors import DataError
from detzoo.structures import Detections, PanopticMap, Targets

if TYPE_CHECKING:
    import supervision as sv


# Class colors: the Okabe-Ito palette, and nine more that differ from it and from each other by a
# CIELAB distance of at least 15, also under red-green and blue-yellow color blindness. Further
# classes reuse these colors.
PALETTE = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#8000E0"),
    *("#604020", "#C0E0A0", "#802060", "#C0A060", "#2040A0", "#8060E0", "#A04000", "#A0E0C0"),
)

# What has a color of its own: a class, or every object of an image.
ColorBy = Literal["class", "instance"]

# The color of ignored boxes.
IGNORED = (160, 160, 160)


def draw(
    image: np.ndarray,
    detections: Detections,
    class_names: Sequence[str],
    tracks: Tensor | None = None,
    color_by: ColorBy = "class",
) -> np.ndarray:
    """A copy of ``image`` (H, W, 3) BGR with the detections, which are in its pixels.

    A class has the same color in every image, and a track where there are ``tracks`` (N,) int64;
    by "instance", the objects of an image have different ones, as far as there are enough. Labels
    are kept inside the image and do not overlap, as far as there is room. Of images with more than
    three channels, the first three are shown; images with fewer are shown in gray.
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
    elif color_by == "instance":
        found.class_id = np.arange(len(found))
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


def draw_panoptic(
    image: np.ndarray, found: PanopticMap, names: Sequence[str], color_by: ColorBy = "class"
) -> np.ndarray:
    """A copy of ``image`` (H, W, 3) BGR with the segments, which are in its pixels.

    They have the colors of their classes, or by "instance" different ones, and an outline, and
    their ``names`` where they are widest.
    """
    import supervision as sv

    picture = _picture(image)
    ids = found.ids.cpu().numpy()
    labels = found.labels.cpu().numpy() if color_by == "class" else np.arange(len(found))
    colors = np.array([sv.Color.from_hex(color).as_bgr() for color in PALETTE])
    shown = np.concatenate([np.zeros((1, 3)), colors[labels % len(PALETTE)]])[ids]
    inside = ids > 0
    picture[inside] = (0.5 * picture[inside] + 0.5 * shown[inside]).astype(np.uint8)
    outline = np.zeros(ids.shape, np.uint8)
    outline[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    outline[1:] |= ids[1:] != ids[:-1]
    thickness = _thickness(picture)
    if thickness > 1:
        outline = cv2.dilate(outline, np.ones((thickness, thickness), np.uint8))
    picture[outline > 0] = 255
    if len(found) == 0:
        return picture
    places = sv.Detections(
        xyxy=np.array([_widest(ids == k + 1) for k in range(len(found))], np.float32),
        class_id=labels,
    )
    return _label_annotator(picture, position=sv.Position.CENTER).annotate(
        picture, places, list(names)
    )


def _widest(mask: np.ndarray) -> tuple[int, int, int, int]:
    """A box of one point: the one inside ``mask`` (H, W) that is farthest from its border."""
    inside = np.pad(mask.astype(np.uint8), 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y), int(x), int(y)


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
    if found.mask is not None:
        picture = sv.MaskAnnotator(colors, opacity=0.4).annotate(picture, found)
        # On a busy image, the outline shows what the tint does not.
        picture = sv.PolygonAnnotator(colors, _thickness(picture)).annotate(picture, found)
    picture = sv.BoxAnnotator(colors, thickness=_thickness(picture)).annotate(picture, found)
    return _label_annotator(picture).annotate(picture, found, labels)


def _label_annotator(picture: np.ndarray, position: sv.Position | None = None) -> sv.LabelAnnotator:
    """Writes names at boxes, moved where they would overlap, or at their ``position``."""
    import supervision as sv

    colors = sv.ColorPalette.from_hex(list(PALETTE))
    scale = max(picture.shape[:2]) / 1000
    return sv.LabelAnnotator(
        colors,
        text_color=sv.ColorPalette([_readable_on(color) for color in colors.colors]),
        text_position=sv.Position.TOP_LEFT if position is None else position,
        smart_position=True,
        text_scale=min(max(0.5 * scale, 0.4), 1.5),
        text_thickness=max(1, round(scale)),
        text_padding=max(2, round(5 * scale)),
    )


def _readable_on(color: sv.Color) -> sv.Color:
    """Black or white, whichever has the higher contrast by WCAG 2: at least 4.5."""
    import supervision as sv

    part = np.array([color.r, color.g, color.b]) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return (
        sv.Color.BLACK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else sv.Color.WHITE
    )


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 BGR in the format of the file's ending.

    Raises :class:`DataError` if that is impossible.
    """
    try:
        _, data = cv2.imencode(path.suffix, picture)
    except cv2.error:
        raise DataError(f"{path}: pictures are written as .jpg, .png, .webp, ...") from None
    try:
        path.write_bytes(data.tobytes())  # OpenCV crashes on names that are not UTF-8
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}). Free some disk space, or give another "
            "path."
        ) from None
