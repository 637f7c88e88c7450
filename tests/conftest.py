from __future__ import annotations

import ctypes
import gc
import platform
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

LARGE = 2**27


def pytest_collection_finish() -> None:
    """What importing all modules has made stays: collections of garbage need not go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def freed_memory_is_given_back() -> Iterator[None]:
    """What a test with a large model has freed goes back to the system; glibc keeps most of it."""
    before = _held()
    yield
    if _held() > before + LARGE:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


def _held() -> int:
    """Bytes of memory that this process holds; 0 where the allocator is not glibc's."""
    if platform.libc_ver()[0] != "glibc":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are quicker without threads, and subprocesses compute the same bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def foreground() -> Iterator[None]:
    """Ctrl-C interrupts this process, wherever its shell started it.

    A job in the background of a script ignores it, and so does what such a job starts.
    """
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine; tests of downloads name a server of their own."""
    monkeypatch.setenv("DETZOO_MIRRORS", "")
