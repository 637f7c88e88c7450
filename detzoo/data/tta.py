"""Test-time augmentation: what to look at besides an image as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from detzoo.config import ConfigError, PositiveFloat, PositiveInt, config
from detzoo.data.sample import Transform
from detzoo.data.transforms import CenterPad, Flip, Rescale, Resize


@config
class TTA:
    """Test-time augmentation: detects in resized and flipped versions of each image and merges.

    Every scale or factor is combined with every flip; the unflipped image is always among them.
    Images are flipped after they are resized.

    Args:
        scales: Sizes (width, height) in place of those of the recipe's ``Resize`` or ``Rescale``;
            empty: keep its.
        flips: Directions in which each resized image is flipped as well.
        factors: Factors of the size of the image itself, in place of ``scales``.
    """

    scales: tuple[tuple[PositiveInt, PositiveInt], ...] = ()
    flips: tuple[Literal["horizontal", "vertical", "diagonal"], ...] = ()
    factors: tuple[PositiveFloat, ...] = ()

    def __post_init__(self) -> None:
        if self.scales and self.factors:
            raise ConfigError("scales, factors: both say how large images become; give one")

    def pipelines(self, transforms: Sequence[Transform]) -> tuple[tuple[Transform, ...], ...]:
        """The transforms for each version of an image, from the ``transforms`` of the image itself.

        Raises :class:`ConfigError` if there are scales or factors, but nothing resizes.
        """
        resizes = [one for one in transforms if isinstance(one, Resize | Rescale)]
        if (self.scales or self.factors) and not resizes:
            raise ConfigError(
                "scales: this model's recipe does not resize images, so scales cannot replace "
                "anything; use flips alone"
            )
        start = transforms.index(resizes[0]) if resizes else len(transforms)
        before, after = tuple(transforms[:start]), tuple(transforms[start + len(resizes[:1]) :])
        sizes: list[tuple[Transform, ...]] = [tuple(resizes[:1])]
        if self.scales:
            like = resizes[0] if isinstance(resizes[0], Resize) else Resize()
            sizes = [(replace(like, sizes=(scale,)),) for scale in self.scales]
        elif self.factors:
            library = resizes[0].library
            sizes = [(Rescale(factor=factor, library=library),) for factor in self.factors]
        flips: list[tuple[Transform, ...]] = [()]
        flips += [(Flip(probability=1.0, directions=(flip,)),) for flip in self.flips]
        # What is centered in a frame is flipped in it.
        framed = next((k + 1 for k, one in enumerate(after) if isinstance(one, CenterPad)), 0)
        return tuple(
            (*before, *size, *after[:framed], *flip, *after[framed:])
            for size in sizes
            for flip in flips
        )
