"""The picture at the top of the README: generated scenes, and what the quickstart's detector finds
in them at the thresholds of its report.

detzoo quickstart --out shapes
python -m docs.generators.picture shapes
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import detzoo
from detzoo.inference.selection import Selection
from detzoo.quickstart.run import evaluate
from detzoo.quickstart.scenes import draw_scene

PICTURE = Path(__file__).parents[1] / "images" / "detections.png"
SCENES, SIZE, SCALE, GAP = 4, 160, 2, 6
# The scenes are noisy: with all of their colors, the file is several times as large.
COLORS = 256


def main(folder: str) -> None:
    detector = detzoo.load(f"{folder}/detector.pt")
    _, thresholds = evaluate(detector, detzoo.open_dataset(f"{folder}/data", "test"))
    select = Selection.of(detector.class_names, "auto", thresholds=thresholds)
    # None of these is among the quickstart's own.
    scenes = [draw_scene(np.random.default_rng((99, i)), SIZE)[0] for i in range(SCENES)]
    large = [cv2.resize(scene, None, fx=SCALE, fy=SCALE) for scene in scenes]
    drawn = [select(one).draw() for one in detector.predict(large, min_score=select.lowest)]
    white = np.full((large[0].shape[0], GAP, 3), 255, np.uint8)
    rows = [np.hstack([part for image in row for part in (image, white)]) for row in (large, drawn)]
    between = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    picture = np.vstack([rows[0], between, rows[1]])[:, :-GAP]
    colors = Image.fromarray(picture[..., ::-1]).quantize(COLORS, dither=Image.Dither.NONE)
    colors.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
