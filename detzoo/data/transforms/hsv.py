"""Random hue, saturation and value (YOLOX)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np

from detzoo.config import Range, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import change_colors


@config
class RandomHSV(Transform):
    """Changes hue, saturation and value, each with probability 1/2. The image stays uint8.

    Args:
        hue: Maximum change of the hue, in OpenCV's 180 steps.
        saturation: Maximum change of the saturation, of 255.
        value: Maximum change of the value, of 255.
    """

    hue: Annotated[int, Range(0, 180)] = 5
    saturation: Annotated[int, Range(0, 255)] = 30
    value: Annotated[int, Range(0, 255)] = 30

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        gains = rng.uniform(-1, 1, 3) * (self.hue, self.saturation, self.value)
        gains = (gains * rng.integers(2, size=3)).astype(np.int16)

        def change(colors: np.ndarray) -> np.ndarray:
            hsv = cv2.cvtColor(colors, cv2.COLOR_BGR2HSV).astype(np.int16) + gains
            hsv[..., 0] %= 180
            hsv[..., 1:] = hsv[..., 1:].clip(0, 255)
            return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)

        return replace(sample, image=change_colors(sample.image, change))
