"""Small constant tensors."""

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
    """A constant tensor of ``values``, created once per device and not to be written to.

    Copying it to the device each time would make the host wait for all pending work.
    """
    return torch.tensor(values, device=device, dtype=dtype)
