"""Recipes for images of another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detzoo.config import ConfigError
from detzoo.data.sample import Transform
from detzoo.data.transforms import Resize

# Fields of transforms that are sizes in pixels, or hold other transforms.
_SIZES = ("size", "sizes", "policies")


def resized(
    train: Sequence[Transform], test: Sequence[Transform], size: tuple[int, int]
) -> tuple[tuple[Transform, ...], tuple[Transform, ...]]:
    """Pipelines of training and test, such that test images are of ``size`` (width, height).

    Training images, of one or several sizes, become larger or smaller by the same factors, one for
    the longer sides and one for the shorter. Raises :class:`ConfigError` where other transforms
    than :class:`Resize` have sizes, too.
    """
    old = [size for one in test if isinstance(one, Resize) for size in one.sizes]
    if len(old) != 1:
        raise ConfigError("the test images of this recipe have no single size to change")
    longer, shorter = max(size) / max(old[0]), min(size) / min(old[0])

    def changed(one: Transform) -> Transform:
        if isinstance(one, Resize):
            return replace(one, sizes=tuple(scaled(*other) for other in one.sizes))
        fixed = next((name for name in _SIZES if getattr(one, name, None) is not None), None)
        if fixed is not None:
            raise ConfigError(
                f"this recipe also has sizes in {type(one).__name__}.{fixed}; change each with "
                "--set, which detzoo config NAME data lists"
            )
        return one

    def scaled(width: int, height: int) -> tuple[int, int]:
        if width >= height:
            return max(round(width * longer), 1), max(round(height * shorter), 1)
        return max(round(width * shorter), 1), max(round(height * longer), 1)

    new_test = tuple(
        replace(one, sizes=(size,)) if isinstance(one, Resize) else changed(one) for one in test
    )
    return tuple(changed(one) for one in train), new_test
