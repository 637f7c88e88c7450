"""The processes of a training: one, or as many as ``torchrun`` started.

Everything here is for one process as much as for many, so that the loop need not distinguish.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from detzoo.errors import DeviceError, UserError


@dataclass(frozen=True)
class Processes:
    """This process among those that train together, and the device it computes on."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and talks to the user."""
        return self.rank == 0

    def parallel(self, model: nn.Module) -> nn.Module:
        """``model`` with gradients that are averaged over the processes.

        Batch-norm normalizes with the images of each process; its running statistics are those of
        the first one.
        """
        if self.count == 1:
            return model
        foreign = [n for n, m in model.named_modules() if isinstance(m, nn.SyncBatchNorm)]
        if foreign and self.device.type == "cpu":
            raise DeviceError(
                f"{foreign[0]}: torch's SyncBatchNorm refuses to train on a CPU in several "
                "processes. Use detzoo's, which runs on any device "
                "(BatchNormConfig(synchronized=True), or "
                "--set model.backbone.norm.synchronized=true), or a GPU."
            )
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices)

    def gradients_shared(
        self, parallel: nn.Module, *, now: bool
    ) -> contextlib.AbstractContextManager[None]:
        """Around a forward and backward pass; ``now`` False leaves averaging to a later one."""
        if isinstance(parallel, DistributedDataParallel) and not now:
            return parallel.no_sync()
        return contextlib.nullcontext()

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites ``tensors`` with those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def maximum(self, value: Tensor) -> Tensor:
        """The largest ``value`` of all processes."""
        if self.count > 1:
            dist.all_reduce(value, dist.ReduceOp.MAX)
        return value

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()


@contextlib.contextmanager
def join_processes(device: torch.device | str) -> Iterator[Processes]:
    """Joins the processes that ``torchrun`` started; alone where it did not.

    ``device`` is a type such as ``cuda``, of which each process takes its own, or one device.
    """
    device = torch.device(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        device = _cuda_device(device, local_rank)
    if count == 1:
        yield Processes(0, 1, device)
        return
    store, rank, count = _meeting_place()
    here = dist.PrefixStore(f"start {restarts()} run {next(_MEETINGS)}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=here, rank=rank, world_size=count)
    try:
        yield Processes(rank, count, device)
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise UserError(
            f"process {rank} of {count}: cannot continue, as another process of this training has "
            "died; its own message says why. --resume continues from the last checkpoint."
        ) from error
    finally:
        dist.destroy_process_group()


def restarts() -> int:
    """How often ``torchrun --max-restarts`` has started the processes again.

    Its store outlives them, with the addresses of those that are gone.
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


# Runs that this program has joined: every process of a group has joined as many.
_MEETINGS = itertools.count()

# What gloo and NCCL say of a process that is gone.
_LOST = re.compile(
    r"closed by peer|Connection reset|Broken pipe|Connection refused|remote process exited|"
    r"[Tt]imed out waiting|Socket Timeout|NCCL .*(error|abort)"
)


@functools.cache
def _meeting_place() -> tuple[dist.Store, int, int]:
    """The store of the processes that ``torchrun`` started, this one's rank, and their number.

    One for all runs of a program: a store of each run's own at the same address could be met by a
    process that looks for the next one.
    """
    store, rank, count = next(dist.rendezvous("env://"))
    return store, rank, count


def _cuda_device(device: torch.device, local_rank: int) -> torch.device:
    available = torch.cuda.device_count()
    index = local_rank if device.index is None else device.index
    if index >= available:
        raise DeviceError(
            f"cuda:{index}: there are {available} CUDA devices. Use --device cpu, or start at most "
            "one process per device (torchrun --nproc-per-node)."
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device
