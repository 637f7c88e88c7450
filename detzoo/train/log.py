"""What a run measures of itself: averages, times, memory."""

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
    """Means of values that stay on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().to(torch.float32)
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def drain(self) -> dict[str, float]:
        """The means since the last call, over all processes; waits for the device once."""
        if not self._sums:
            return {}
        names = list(self._sums)
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        self._sums.clear()
        self._counts.clear()
        return dict(zip(names, average_over_processes(means).tolist()))


class Stopwatch:
    """Seconds per step, and how many of them passed waiting for data, since the last reading."""

    def __init__(self) -> None:
        self._restart()

    @contextlib.contextmanager
    def data(self) -> Iterator[None]:
        """Around what waits for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Around what is not part of any step."""
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
    """The most memory used so far, in GB: the GPU's, or on the CPU this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if importlib.util.find_spec("resource") is None:  # not on Windows
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
