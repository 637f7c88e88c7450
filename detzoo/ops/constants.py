"""Cached tensors that depend only on settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Make = TypeVar("Make", bound=Callable[..., Any])


def made_once(make: Make) -> Make:
    """Caches the results of ``make`` by its hashable arguments.

    Not while a model is traced or exported: fake tensors created there belong to that trace.
    """
    remembered = functools.lru_cache(maxsize=256)(torch.inference_mode(False)(make))

    @functools.wraps(make)
    def get(*arguments: Any) -> Any:
        is_real = type(torch.empty(0)) is Tensor
        return (remembered if is_real else make)(*arguments)

    get.cache_clear = remembered.cache_clear  # type: ignore[attr-defined]
    return get  # type: ignore[return-value]


@made_once
def constant(
    values: tuple[float | tuple[float, ...], ...],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A constant tensor of ``values``, created once per device, which must not be modified.

    Copying it to the device each time would synchronize the host with the device.
    """
    return torch.tensor(values, device=device, dtype=dtype)
