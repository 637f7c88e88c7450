from __future__ import annotations

import ctypes
import gc
import platform
import signal
from collections.abc import Iterator

import pytest
import torch


def pytest_collection_finish() -> None:
    """What importing all modules has made stays: collections of garbage need not go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def freed_memory_is_given_back() -> Iterator[None]:
    """What a module has freed goes back to the system; glibc would keep most of it."""
    yield
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


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
