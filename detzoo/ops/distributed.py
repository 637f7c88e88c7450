"""Numbers that the processes of a distributed training share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist


def num_processes() -> int:
    """Processes that train together; 1 where training is not distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_over_processes(value: Tensor) -> Tensor:
    """The mean of ``value`` over all processes, without a gradient; every process must call it.

    A loss that each process divides by the averaged normalizer has, averaged over the processes,
    the gradient of one process with all the images.
    """
    value = value.detach()
    processes = num_processes()
    if processes == 1:
        return value
    mean = value.to(torch.float32, copy=True)
    dist.all_reduce(mean)
    return mean / processes
