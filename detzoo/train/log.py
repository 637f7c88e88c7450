"""Measurements of a run: averages, times, memory."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from detzoo.ops.distributed import average_over_processes


class Averages:
    """Means of values, which stay on the device until they are drained."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().to(torch.float32)
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def drain(self) -> dict[str, float]:
        """Returns the means over all processes since the last call; synchronizes the device."""
        if not self._sums:
            return {}
        names = list(self._sums)
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        self._sums.clear()
        self._counts.clear()
        return dict(zip(names, average_over_processes(means).tolist()))


class Stopwatch:
    """Seconds per step, and how many of them were spent waiting for data, since the last drain."""

    def __init__(self) -> None:
        self._restart()

    @contextlib.contextmanager
    def data(self) -> Iterator[None]:
        """Context that measures waiting for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Context that excludes its time from steps."""
        started = time.perf_counter()
        yield
        self._started += time.perf_counter() - started

    def drain(self) -> dict[str, float]:
        elapsed = time.perf_counter() - self._started
        steps = max(self.steps, 1)
        means = {"data_time": self._waited / steps, "step_time": elapsed / steps}
        self._restart()
        return means

    def _restart(self) -> None:
        self.steps = 0
        self._waited = 0.0
        self._started = time.perf_counter()


def memory_in_use(device: torch.device) -> float:
    """Peak memory so far in GB: of the GPU, or on the CPU of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if importlib.util.find_spec("resource") is None:  # not on Windows
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
