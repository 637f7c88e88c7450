"""Colors of images with any number of channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Color = tuple[float, float, float]


def values_of(color: Color, image: np.ndarray) -> np.ndarray:
    """A BGR ``color`` as values of the channels of ``image`` (H, W, C), in its type: (C,).

    Channels after the third repeat the first ones; a gray image has the mean.
    """
    channels = image.shape[2]
    values = np.resize(color, channels) if channels >= 3 else np.full(channels, np.mean(color))
    return (values.clip(0, 255) if image.dtype == np.uint8 else values).astype(image.dtype)


def canvas(height: int, width: int, color: Color, image: np.ndarray) -> np.ndarray:
    """An image of the kind of ``image`` with one ``color`` (BGR): (height, width, C)."""
    made = np.empty((height, width, image.shape[2]), image.dtype)
    made[:] = values_of(color, image)
    return made


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
