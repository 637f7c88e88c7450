"""Watches every step for non-finite losses and requests to stop.

Reading a value from a GPU blocks the step. There, results are read a few steps later, when they
have arrived; until then a flag on the device keeps the optimizer from changing the weights.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from detzoo.checkpoints.checkpoint import save_atomically
from detzoo.errors import UserError
from detzoo.structures import Batch
from detzoo.train.distributed import Processes

# Steps between computing and reading a result on a GPU, so that reading does not block.
_DELAY = 2


class NonFiniteLossError(UserError):
    """A loss became infinite or NaN."""


class Interrupt:
    """Turns Ctrl-C and SIGTERM inside a ``with`` block into a request to stop; a second Ctrl-C
    interrupts immediately.

    Schedulers (SLURM, Kubernetes, ``torchrun``) send SIGTERM, possibly several times, some time
    before they kill a process. A signal that was ignored when the process started stays ignored:
    shells start background jobs of scripts with SIGINT ignored, since Ctrl-C is meant for the
    foreground job.
    """

    def __init__(self, announce: Callable[[str], None]) -> None:
        # The number of the signal received; 0: none.
        self.requested = 0
        self._announce = announce
        self._process = os.getpid()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def of_any(self, processes: Processes) -> int:
        """The number of the signal that any process received; must be called in every process."""
        number = torch.tensor(self.requested, device=processes.device)
        return int(processes.maximum(number))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked loader worker: its parent handles the signal
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.requested:
            return
        self.requested = number
        if number == signal.SIGINT:
            self._announce("finishing this step; press Ctrl-C again to stop immediately")
        else:
            self._announce("received SIGTERM: finishing this step")


@dataclass(frozen=True)
class _Observation:
    flags: Tensor  # (2,) on the CPU: non-finite loss, signal to stop; in any process
    arrived: torch.cuda.Event | None
    iteration: int
    losses: Mapping[str, Tensor]
    batch: Batch


class Watch:
    """Checks the losses of all batches; ``tripped`` is 1 on the device after a bad one.

    A bad one is saved in ``run_dir``; None: nowhere.
    """

    def __init__(self, processes: Processes, run_dir: Path | None, model: nn.Module) -> None:
        self.processes = processes
        self.run_dir = run_dir
        self.model = model
        self.tripped = torch.zeros((), device=processes.device)
        self._delay = _DELAY if processes.device.type == "cuda" else 0
        self._pending: deque[_Observation] = deque()

    def guard(self, optimizer: torch.optim.Optimizer) -> None:
        """Makes a fused ``optimizer`` skip its steps while ``tripped`` is 1.

        Before the steps of any other, losses are waited for.
        """
        if optimizer.defaults.get("fused"):
            # The attribute by which GradScaler skips steps without synchronizing the GPU.
            optimizer.found_inf = self.tripped  # type: ignore[attr-defined]
        else:
            self._delay = 0

    def observe(
        self,
        total: Tensor,
        losses: Mapping[str, Tensor],
        batch: Batch,
        iteration: int,
        stop: int,
    ) -> None:
        """Records the losses of one batch; every process must call it equally often.

        ``stop`` is the number of a received signal, or 0.
        """
        bad = (~torch.isfinite(total.detach())).to(torch.float32)
        flags = torch.stack([bad, torch.full_like(bad, stop)])
        flags = self.processes.maximum(flags)
        torch.maximum(self.tripped, flags[0], out=self.tripped)
        arrived = None
        if self._delay:
            flags = torch.empty(2, pin_memory=True).copy_(flags, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        values = {name: value.detach() for name, value in losses.items()}
        self._pending.append(_Observation(flags, arrived, iteration, values, batch))

    def check(self, *, everything: bool = False) -> int:
        """The signal to stop for, or 0, as far as known (``everything`` waits for all results).

        All processes get the same result. Raises :class:`NonFiniteLossError` for a non-finite loss,
        after saving its batch.
        """
        stop = 0
        while len(self._pending) > (0 if everything else self._delay):
            seen = self._pending.popleft()
            if seen.arrived is not None:
                seen.arrived.synchronize()
            not_finite, requested = seen.flags.tolist()
            if not_finite:
                self._fail(seen)
            stop = max(stop, int(requested))
        return stop

    def _fail(self, seen: _Observation) -> None:
        terms = [
            f"{name} is {value.item()}"
            for name, value in seen.losses.items()
            if not torch.isfinite(value)
        ]
        if not terms:
            raise NonFiniteLossError(
                f"step {seen.iteration}: a loss of another process is not finite; that process "
                "reports it."
            )
        saved = ""
        if self.run_dir is not None:
            file = self.run_dir / f"nonfinite_rank{self.processes.rank}.pt"
            save_atomically(file, _saved_batch(seen, self.model))
            saved = (
                f"The batch and the weights are saved in {file}; checkpoints are from before "
                "this step. "
            )
        images = ", ".join(info.path or str(info.id) for info in seen.batch.infos)
        raise NonFiniteLossError(
            f"step {seen.iteration}: {', '.join(terms)} for the images {images}. {saved}Check "
            "the boxes of these images first; then lower the learning rate (--set "
            "optimizer.lr=...), lengthen the warm-up, clip gradients (--set "
            "max_gradient_norm=35), or use --precision fp32."
        )


def _saved_batch(seen: _Observation, model: nn.Module) -> dict[str, Any]:
    """Everything needed to reproduce the step, as plain values."""
    return {
        "iteration": seen.iteration,
        "losses": {name: value.item() for name, value in seen.losses.items()},
        "pixels": seen.batch.pixels,
        "infos": [asdict(info) for info in seen.batch.infos],
        "targets": [
            {
                "boxes": target.boxes,
                "labels": target.labels,
                "ignored_boxes": target.ignored_boxes,
                "masks": None if target.masks is None else target.masks.to_bitmaps().bitmaps,
            }
            for target in seen.batch.targets
        ],
        "model": model.state_dict(),
    }
