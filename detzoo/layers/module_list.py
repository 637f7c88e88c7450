"""A module list whose element type is known to type checkers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


class ModuleList(nn.ModuleList, Generic[M]):
    """``nn.ModuleList`` whose elements are all of type ``M``."""

    def __getitem__(self, index: int) -> M:  # type: ignore[override]
        return cast(M, super().__getitem__(index))

    def __iter__(self) -> Iterator[M]:
        return cast(Iterator[M], super().__iter__())
