from __future__ import annotations

import itertools

import numpy as np
import supervision as sv
import torch

from detzoo.inference.draw import (
    IGNORED,
    PALETTE,
    _readable_on,
    draw,
    draw_panoptic,
    draw_targets,
)
from detzoo.structures import BitmapMasks, Detections, PanopticMap, Targets

# How people without one kind of cone see linear RGB (Machado, Oliveira and Fernandes, 2009).
VISIONS = {
    "full": np.eye(3),
    "no long": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "no medium": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "no short": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
TO_XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def lab(colors: np.ndarray, vision: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB colors (N, 3) of 0 ... 255 as they are seen."""
    part = colors / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    seen = (linear @ vision.T).clip(0, 1) @ TO_XYZ.T / [0.9505, 1, 1.089]
    f = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def test_colors_are_told_apart_by_everybody() -> None:
    colors = np.array([rgb(color) for color in PALETTE])
    assert len(colors) == 16
    for name, vision in VISIONS.items():
        seen = lab(colors, vision)
        for a, b in itertools.combinations(range(len(colors)), 2):
            assert np.linalg.norm(seen[a] - seen[b]) > 15, (name, PALETTE[a], PALETTE[b])


def test_names_are_readable_on_every_color() -> None:
    """Their contrast is WCAG's for texts, which white on bright green, say, is not."""
    for color in PALETTE:
        text = _readable_on(sv.Color.from_hex(color)).as_rgb()
        background, letters = (
            lab(np.array([one]), VISIONS["full"])[0, 0] for one in (rgb(color), np.array(text))
        )
        # From L* back to luminance.
        y = sorted(
            ((value + 16) / 116) ** 3 if value > 8 else value / 903.3
            for value in (background, letters)
        )
        assert (y[1] + 0.05) / (y[0] + 0.05) > 4.5, color


def drawn(*boxes: tuple[float, float, float, float], size: int = 300) -> np.ndarray:
    """Objects of class 0, 1, ... on gray."""
    count = len(boxes)
    found = Detections(torch.tensor(boxes), torch.full((count,), 0.9), torch.arange(count))
    image = np.full((size, size, 3), 128, np.uint8)
    return draw(image, found, [f"class {k}" for k in range(count)])


def area(picture: np.ndarray, label: int) -> int:
    """Pixels in the color of a class: its box, and its label without the letters."""
    return int((picture[..., ::-1] == rgb(PALETTE[label])).all(2).sum())


def test_labels_at_the_edges_are_whole() -> None:
    whole = area(drawn((100.0, 100.0, 140.0, 140.0)), 0)
    for x, y in ((100, 1), (258, 100), (1, 258), (258, 1)):
        picture = drawn((float(x), float(y), x + 40.0, y + 40.0))
        # The label may lie on the box, whose lines it then hides.
        assert area(picture, 0) > whole - 100


def test_labels_do_not_cover_each_other() -> None:
    place = (100.0, 100.0, 200.0, 200.0)
    far = (100.0, 220.0, 200.0, 290.0)
    apart = area(drawn(place, far), 0)
    beside = area(drawn(place, (102.0, 103.0, 203.0, 202.0)), 0)
    # The other label hides a part of a line of the box, where it would hide 400 pixels of label.
    assert beside > apart - 150


def test_objects_of_a_class_have_colors_of_their_own() -> None:
    boxes = torch.tensor([[20.0, 60.0, 120.0, 280.0], [160.0, 60.0, 280.0, 280.0]])
    found = Detections(boxes, torch.full((2,), 0.9), torch.tensor([3, 3]))
    image = np.full((300, 300, 3), 128, np.uint8)
    by_class, by_object = (draw(image, found, list("abcd"), None, c) for c in ("class", "instance"))
    assert [area(by_class, label) > 0 for label in range(4)] == [False, False, False, True]
    assert [area(by_object, label) > 0 for label in range(4)] == [True, True, False, False]
    ids = torch.zeros(60, 60, dtype=torch.int32)
    ids[:, :30], ids[:, 30:] = 1, 2
    segments = PanopticMap(ids, torch.tensor([1, 1]), torch.tensor([True, True]), torch.ones(2))
    drawn = draw_panoptic(np.zeros((60, 60, 3), np.uint8), segments, ["b", "b"], "instance")
    for column, label in ((2, 0), (57, 1)):
        assert np.abs(drawn[50, column] - rgb(PALETTE[label])[::-1] / 2).max() <= 1


def test_masks_stand_out_from_noise() -> None:
    """Where the tint is lost among bright colors, the outline has the plain color."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    rows, columns = np.mgrid[:200, :200]
    inside = (rows - 100) ** 2 + (columns - 100) ** 2 <= 60**2
    masks = BitmapMasks(torch.from_numpy(inside)[None].to(torch.uint8))
    box = torch.tensor([[40.0, 40.0, 160.0, 160.0]])
    found = Detections(box, torch.ones(1), torch.tensor([5]), masks)
    picture = draw(noise, found, list("abcdef"))
    is_plain = (picture[..., ::-1] == rgb(PALETTE[5])).all(2)
    distance = np.sqrt((rows - 100) ** 2 + (columns - 100) ** 2)
    ring = is_plain & (abs(distance - 60) < 2)
    # Half of the circle at least is to be seen beside the box and the label: 2 pi 60 is 377.
    assert ring.sum() > 190
    assert not (is_plain & (distance < 57)).any()


def test_ground_truth_is_drawn_like_detections() -> None:
    """Without scores; what is ignored is gray, and colors beyond 0 to 255 are clipped."""
    image = np.full((60, 80, 3), 300.0, np.float32)
    box = torch.tensor([[10.0, 20.0, 40.0, 50.0]])
    targets = Targets(box, torch.tensor([1]), ignored_boxes=torch.tensor([[50.0, 5.0, 75.0, 55.0]]))
    picture = draw_targets(image, targets, ["cat", "dog"])
    assert picture.shape == (60, 80, 3)
    assert picture.dtype == np.uint8
    assert picture[30, 30].tolist() == [255, 255, 255]
    assert picture[30, 50].tolist() == list(IGNORED)
    assert picture[45, 40].tolist() == [0xE9, 0xB4, 0x56]  # the color of class 1, BGR
    assert (image == 300).all()


def test_segments_have_the_color_of_their_class() -> None:
    """Void stays as it is, and lines divide segments, also those of one class."""
    image = np.full((120, 160, 3), 100, np.uint8)
    ids = torch.zeros(120, 160, dtype=torch.int32)
    ids[:, 20:80], ids[:60, 80:140], ids[60:, 80:140] = 1, 2, 3
    labels = torch.tensor([0, 1, 1])
    found = PanopticMap(ids, labels, torch.tensor([False, True, True]), torch.ones(3))
    drawn = draw_panoptic(image, found, ["sky", "cat", "cat"])
    assert (image == 100).all()
    assert (drawn[:, :18] == 100).all()
    assert (drawn[:, 142:] == 100).all()
    for row, column, label in ((5, 25, 0), (5, 130, 1), (115, 130, 1)):
        expected = (100 + rgb(PALETTE[label])[::-1]) / 2
        assert np.abs(drawn[row, column] - expected).max() <= 1
    assert (drawn[5, 80] == 255).all()
    assert (drawn[60, 135] == 255).all()
    nothing = draw_panoptic(image, PanopticMap.void(ids), [])
    assert (nothing == 100).all()
