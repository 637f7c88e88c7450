"""Test-time augmentation: what to look at besides an image as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from detzoo.config import ConfigError, PositiveInt, config
from detzoo.data.sample import Transform
from detzoo.data.transforms import Flip, Resize


@config
class TTA:
    """Test-time augmentation: detects in resized and flipped versions of each image and merges.

    Every scale is combined with every flip; the unflipped image is always among them. Images are
    flipped after they are resized.

    Args:
        scales: Sizes (width, height) in place of those of the recipe's ``Resize``; empty: keep its.
        flips: Directions in which each resized image is flipped as well.
    """

    scales: tuple[tuple[PositiveInt, PositiveInt], ...] = ()
    flips: tuple[Literal["horizontal", "vertical", "diagonal"], ...] = ()

    def pipelines(self, transforms: Sequence[Transform]) -> tuple[tuple[Transform, ...], ...]:
        """The transforms for each version of an image, from the ``transforms`` of the image itself.

        Raises :class:`ConfigError` if there are scales but nothing resizes.
        """
        resizes = [one for one in transforms if isinstance(one, Resize)]
        if self.scales and not resizes:
            raise ConfigError(
                "scales: this model's recipe does not resize images, so scales cannot replace "
                "anything; use flips alone"
            )
        start = transforms.index(resizes[0]) if resizes else len(transforms)
        before, after = tuple(transforms[:start]), tuple(transforms[start + len(resizes[:1]) :])
        sizes: list[tuple[Transform, ...]] = [tuple(resizes[:1])]
        if self.scales:
            sizes = [(replace(resizes[0], sizes=(scale,)),) for scale in self.scales]
        flips: list[tuple[Transform, ...]] = [()]
        flips += [(Flip(probability=1.0, directions=(flip,)),) for flip in self.flips]
        return tuple((*before, *size, *flip, *after) for size in sizes for flip in flips)
