"""Random hue, saturation and value, as YOLOX changes them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from detzoo.config import config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import change_colors


@config
class RandomHSV(Transform):
    """Adds to hue, saturation and value up to the given amounts, to each with probability 1/2.

    Hue is in OpenCV's 180 steps. The image stays uint8.
    """

    hue: int = 5
    saturation: int = 30
    value: int = 30

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        gains = rng.uniform(-1, 1, 3) * (self.hue, self.saturation, self.value)
        gains = (gains * rng.integers(2, size=3)).astype(np.int16)

        def change(colors: np.ndarray) -> np.ndarray:
            hsv = cv2.cvtColor(colors, cv2.COLOR_BGR2HSV).astype(np.int16) + gains
            hsv[..., 0] %= 180
            hsv[..., 1:] = hsv[..., 1:].clip(0, 255)
            return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)

        return replace(sample, image=change_colors(sample.image, change))
