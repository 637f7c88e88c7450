"""The processes of a training run: one, or as many as ``torchrun`` started.

Everything here works for one process as well, so that the loop need not distinguish.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from detzoo.errors import DeviceError, UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process in the process group, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the main process (rank 0), which writes files and prints."""
        return self.rank == 0

    def parallel(self, model: nn.Module) -> nn.Module:
        """Wraps ``model`` so that gradients are averaged over the processes.

        Batch norm uses the statistics of each process's images; its running statistics are those of
        the main process.
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
        """Context of a forward and backward pass; ``now`` False defers gradient averaging to a
        later one.
        """
        if isinstance(parallel, DistributedDataParallel) and not now:
            return parallel.no_sync()
        return contextlib.nullcontext()

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Broadcasts ``tensors`` from the main process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def maximum(self, value: Tensor) -> Tensor:
        """All-reduces ``value`` to its maximum over all processes."""
        if self.count > 1:
            dist.all_reduce(value, dist.ReduceOp.MAX)
        return value

    def collect(self, value: T) -> list[T] | None:
        """The values of all processes in the main process, None in the others."""
        if self.count == 1:
            return [value]
        values: list[T] | None = [value] * self.count if self.is_first else None
        dist.gather_object(value, values)
        return values

    def wait(self) -> None:
        """Barrier: blocks until every process has reached it."""
        if self.count > 1:
            dist.barrier()


@contextlib.contextmanager
def join_processes(device: torch.device | str) -> Iterator[Processes]:
    """Joins the process group that ``torchrun`` started, or a group of one process without it.

    ``device`` is a type such as ``cuda``, of which each process uses its own device, or one device.
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
            f"process {rank} of {count}: cannot continue, as another process of this run has "
            "failed; see its error message. --resume continues from the last checkpoint."
        ) from error
    finally:
        dist.destroy_process_group()


def restarts() -> int:
    """The number of times that ``torchrun --max-restarts`` has restarted the processes.

    Its store outlives them, and still contains the addresses of earlier processes.
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


# Runs joined so far in this program; the same number in every process of a group.
_MEETINGS = itertools.count()

# Error messages of gloo and NCCL when another process has died.
_LOST = re.compile(
    r"closed by peer|Connection reset|Broken pipe|Connection refused|remote process exited|"
    r"[Tt]imed out waiting|Socket Timeout|NCCL .*(error|abort)"
)


@functools.cache
def _meeting_place() -> tuple[dist.Store, int, int]:
    """Returns the store of the processes that ``torchrun`` started, the rank, and the world size.

    It is shared by all runs of a program: with one store per run at the same address, a process
    might connect to the store of the previous run.
    """
    store, rank, count = next(dist.rendezvous("env://"))
    return store, rank, count


def _cuda_device(device: torch.device, local_rank: int) -> torch.device:
    available = torch.cuda.device_count()
    index = local_rank if device.index is None else device.index
    if index >= available:
        raise DeviceError(
            f"cuda:{index}: there are {available} CUDA devices. Use --device cpu, or start at "
            "most one process per device (torchrun --nproc-per-node)."
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device
