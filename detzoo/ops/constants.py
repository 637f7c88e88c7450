"""Small tensors of fixed values."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.lru_cache(maxsize=256)
@torch.inference_mode(False)
def constant(
    values: tuple[float | tuple[float, ...], ...],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A tensor of ``values``, not to be written to: it is made once per device.

    Copying it there each time would make the host wait for all that the device still has to do.
    """
    return torch.tensor(values, device=device, dtype=dtype)
