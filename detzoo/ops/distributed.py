"""Collective operations of distributed training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist


def num_processes() -> int:
    """The number of processes that train together (the world size); 1 if not distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_over_processes(value: Tensor) -> Tensor:
    """All-reduces ``value`` to its mean over all processes, without a gradient.

    With a loss divided by the averaged normalizer, the gradient averaged over the processes by DDP
    equals that of a single process with all images. Every process must call this.
    """
    value = value.detach()
    processes = num_processes()
    if processes == 1:
        return value
    mean = value.to(torch.float32, copy=True)
    dist.all_reduce(mean)
    return mean / processes
