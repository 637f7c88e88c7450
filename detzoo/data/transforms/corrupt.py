"""The corruptions of ImageNet-C (https://arxiv.org/abs/1903.12261).

The package ``imagecorruptions`` is optional, and imagecorruptions-imaug its maintained form. Both
ask for a second OpenCV, so they are installed without what they depend on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args

import numpy as np

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform
from detzoo.ranges import Range

Corruption = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]

_NAMES: tuple[Corruption, ...] = get_args(Corruption)
# By kind; "extra" are those that are not among the benchmark's 15.
CORRUPTIONS: dict[str, tuple[Corruption, ...]] = {
    "noise": _NAMES[:3],
    "blur": _NAMES[3:7],
    "weather": _NAMES[7:11],
    "digital": _NAMES[11:15],
    "benchmark": _NAMES[:15],
    "extra": _NAMES[15:],
    "all": _NAMES,
}


@config
class Corrupt(Transform):
    """Corrupts an image as ImageNet-C does; the targets stay as they are.

    Images have at least 32 pixels a side, and one or three channels. As in MMDetection, colors are
    in the order BGR.

    Args:
        corruption: Which of the 19 corruptions.
        severity: How much, from 1 to 5.
    """

    corruption: Corruption
    severity: Annotated[int, Range(1, 5)] = 1

    def check(self) -> None:
        """Raises :class:`ConfigError` if imagecorruptions is missing."""
        _corruption(self.corruption)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        from imagecorruptions import corrupt

        height, width, channels = sample.image.shape
        if min(height, width) < 32 or channels not in (1, 3):
            raise ValueError("imagecorruptions takes 32 x 32 pixels or more, of 1 or 3 channels")
        function = _corruption(self.corruption)
        seeds = rng.integers(2**31, size=2).tolist()
        takes_seed = "seed" in inspect.signature(function).parameters
        more = {"seed": seeds[1]} if takes_seed else {}
        # It draws from NumPy's global generator.
        state = np.random.get_state()
        np.random.seed(seeds[0])
        try:
            image = corrupt(
                np.ascontiguousarray(sample.image.astype(np.uint8)),
                severity=self.severity,
                corruption_name=self.corruption,
                **more,
            )
        finally:
            np.random.set_state(state)
        return replace(sample, image=image[..., :channels])


def _corruption(name: str) -> Callable[..., Any]:
    try:
        from imagecorruptions import corruptions
    except ImportError as error:
        raise ConfigError(
            f"corruptions need the package imagecorruptions ({error}). Install it without what it "
            "depends on, which includes a second OpenCV: pip install 'detzoo[robustness]', and "
            "pip install --no-deps imagecorruptions-imaug"
        ) from None
    function: Callable[..., Any] = getattr(corruptions, name)
    return function
