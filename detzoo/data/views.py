"""Several views of one image: test-time augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from detzoo.config import ConfigError, config
from detzoo.data.sample import Transform
from detzoo.data.transforms import Flip, Resize


@config
class Views:
    """Which views of an image a detector looks at: each of ``scales``, as it is and mirrored.

    ``scales`` (width, height) replace the sizes of the recipe's ``Resize``; none keeps them. Each
    is also seen in every direction of ``flips``. Images are mirrored once they have their size.
    """

    scales: tuple[tuple[int, int], ...] = ()
    flips: tuple[Literal["horizontal", "vertical", "diagonal"], ...] = ()

    def __post_init__(self) -> None:
        if any(min(scale) < 1 for scale in self.scales):
            raise ConfigError(f"scales: {self.scales!r} are not sizes of at least one pixel")

    def of(self, transforms: Sequence[Transform]) -> tuple[tuple[Transform, ...], ...]:
        """The transforms of each view, from those of a recipe without views.

        Raises :class:`ConfigError` where there are scales, and nothing that scales.
        """
        resizes = [one for one in transforms if isinstance(one, Resize)]
        if self.scales and not resizes:
            raise ConfigError(
                "scales: this model's recipe does not resize images, so there are no scales to see "
                "them in; use flips alone"
            )
        start = transforms.index(resizes[0]) if resizes else len(transforms)
        before, after = tuple(transforms[:start]), tuple(transforms[start + len(resizes[:1]) :])
        sizes: list[tuple[Transform, ...]] = [tuple(resizes[:1])]
        if self.scales:
            sizes = [(replace(resizes[0], sizes=(scale,)),) for scale in self.scales]
        mirrors: list[tuple[Transform, ...]] = [()]
        mirrors += [(Flip(probability=1.0, directions=(flip,)),) for flip in self.flips]
        return tuple((*before, *size, *mirror, *after) for size in sizes for mirror in mirrors)
