"""Color changes for images with any number of channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def change_colors(image: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Applies ``change`` to the first three channels, BGR, of ``image`` (H, W, C).

    Further channels are unchanged. A grayscale image is repeated to three channels, changed, and
    averaged.
    """
    if image.shape[2] == 3:
        return change(image)
    if image.shape[2] < 3:
        gray = change(image[..., :1].repeat(3, axis=2)).mean(2, keepdims=True)
        return np.concatenate([gray.astype(image.dtype), image[..., 1:]], axis=2)
    colors = change(np.ascontiguousarray(image[..., :3]))
    return np.concatenate([colors, image[..., 3:]], axis=2)
