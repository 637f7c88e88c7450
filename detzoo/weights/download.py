"""Downloads that survive bad connections: resumed, retried, verified, renamed when whole."""

from __future__ import annotations

import contextlib
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import requests
import urllib3
from filelock import FileLock
from urllib3.exceptions import IncompleteRead, ProtocolError, ReadTimeoutError

import detzoo
from detzoo.errors import CheckpointError
from detzoo.weights.files import has_digits, hash_digits, read_file, reason

TRIES = 5  # at each address
TIMEOUT = 20.0  # seconds in which LEAST bytes must come
LEAST = 1 << 14
MOST = 1 << 34  # bytes: no file of weights is larger
PAUSE = 1.0  # seconds before the second try, doubled before each further one

# Told the bytes that are there, and those there will be, if known.
Report = Callable[[int, int | None], None]


class DownloadError(CheckpointError):
    """No address gives the file. The message has a line for each."""


class _Failure(Exception):
    """Why one address does not give the file, and whether it may if asked again."""

    def __init__(self, why: str, *, temporary: bool) -> None:
        super().__init__(why)
        self.temporary = temporary


@dataclass(frozen=True)
class _Answer:
    """How a server's answer begins. ``length``: the bytes that follow, if it says so."""

    status: int
    reason: str
    headers: Mapping[str, str]
    length: int | None


def download(addresses: Sequence[str], target: Path) -> None:
    """Writes to ``target`` what the first of ``addresses`` gives that has it.

    The file takes its name only when it is whole and verified: by the digits of its hash where its
    name ends in them, otherwise by opening it. With digits an interrupted download is resumed too,
    from whichever address, since they vouch for the result. A second process waits for the first
    and takes its file.

    Raises :class:`DownloadError` when no address has it, :class:`CheckpointError` when it cannot be
    written.
    """
    failures = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _partial(target) as partial, open(partial, "a+b") as file:
            if target.is_file():  # Another process was faster.
                return
            if hash_digits(target.name) is None:
                file.truncate(0)
            with _progress_bar(target.name) as report:
                for address in addresses:
                    try:
                        _fetch(address, file, partial, report)
                    except _Failure as failure:
                        failures.append(f"{address}: {failure}")
                        continue
                    os.fsync(file.fileno())
                    partial.replace(target)
                    return
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot be written ({reason(error)}). Make room, or name another folder for "
            "caches with XDG_CACHE_HOME."
        ) from error
    raise DownloadError("\n".join(failures))


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """The file that ``target`` is downloaded to, and which no other process writes meanwhile."""
    partial = target.with_name(f".part.{target.name}")
    lock = FileLock(target.with_name(f".lock.{target.name}"))
    try:
        lock.acquire()
    except (OSError, NotImplementedError):  # Some network file systems have no locks.
        # A file of this process alone, which is not resumed.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part.") as folder:
            yield Path(folder, target.name)
        return
    try:
        yield partial
        # Left for the next try, unless there is nothing in it.
        if target.is_file() or partial.stat().st_size == 0:
            partial.unlink(missing_ok=True)
        # Who waits for the lock of a file that is there does not need it any more.
        if target.is_file():
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def _fetch(address: str, file: IO[bytes], partial: Path, report: Report) -> None:
    """The whole file from ``address``, verified. Raises :class:`_Failure` after all tries."""
    fresh_tries = 0
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        is_fresh = file.seek(0, os.SEEK_END) == 0
        try:
            _transfer(address, file, report)
        except _Failure as failure:
            if not failure.temporary or attempt == TRIES - 1:
                raise
            continue
        file.flush()
        fault = _fault_of(partial)
        if fault is None:
            return
        file.truncate(0)
        fresh_tries += is_fresh
        if fresh_tries == 2 or attempt == TRIES - 1:  # Once more: it may have been the way.
            raise _Failure(fault, temporary=False)


def _fault_of(partial: Path) -> str | None:
    """What is wrong with the content of a whole file, if anything is."""
    digits = hash_digits(partial.name)
    if digits is not None:
        right = has_digits(partial, digits)
        return None if right else f"its content does not have the hash {digits} of its name"
    try:
        read_file(partial)
    except CheckpointError as error:
        return f"what it gives is not a file of weights{str(error).removeprefix(str(partial))}"
    return None


def _transfer(address: str, file: IO[bytes], report: Report) -> None:
    """Appends to ``file`` what it lacks. Raises :class:`_Failure` where that stops early."""
    done = file.seek(0, os.SEEK_END)
    stream = _stream(address, done)
    with contextlib.closing(stream):
        answer = next(stream)
        assert isinstance(answer, _Answer)
        content_range = answer.headers.get("Content-Range", "")
        if answer.status == 416 and content_range == f"bytes */{done}":
            return  # These are all.
        if answer.status == 416 or (
            answer.status == 206 and not content_range.startswith(f"bytes {done}-")
        ):
            file.truncate(0)  # Perhaps the rest of another file.
            raise _Failure("it answers with another part than the asked one", temporary=True)
        if answer.status not in (200, 203, 206):
            temporary = answer.status in (408, 429) or answer.status >= 500
            raise _Failure(f"HTTP {answer.status} {answer.reason}", temporary=temporary)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise _Failure("it sends the file packed, which was not asked for", temporary=False)
        if answer.status != 206:
            done = 0
            file.truncate(0)
        size = None if answer.length is None else done + answer.length
        if size is not None and size > MOST:
            raise _Failure(
                f"speaks of {size} bytes; no file of weights has more than {MOST}", temporary=False
            )
        report(done, size)
        try:
            for block in stream:
                assert isinstance(block, bytes)
                file.write(block)
                done += len(block)
                report(done, size)
                if done > MOST:
                    raise _Failure("no file of weights has more", temporary=False)
        except _Failure as failure:
            of_all = "" if size is None else f" of {size}"
            why = f"stopped after {done}{of_all} bytes ({failure})"
            raise _Failure(why, temporary=failure.temporary) from None


def _stream(address: str, start: int) -> Generator[_Answer | bytes, None, None]:
    """What a server answers to a request for a file from byte ``start`` on: its head, then blocks.

    Raises :class:`_Failure` where ``LEAST`` bytes take longer than ``TIMEOUT``. A socket's own
    timeout begins anew with every byte, so another thread receives and this one watches the clock.
    """
    received: queue.Queue[_Answer | bytes | _Failure] = queue.Queue(maxsize=16)
    abandoned = threading.Event()
    arguments = (address, start, received, abandoned)
    threading.Thread(target=_receive, args=arguments, daemon=True).start()
    count = 0
    deadline = time.monotonic() + TIMEOUT
    try:
        while True:
            item = received.get(timeout=max(0, deadline - time.monotonic()))
            if isinstance(item, _Failure):
                raise item
            if item == b"":
                return
            yield item
            count += LEAST if isinstance(item, _Answer) else len(item)
            if count >= LEAST:
                count = 0
                deadline = time.monotonic() + TIMEOUT
    except queue.Empty:
        raise _Failure(f"too slow: hardly a byte in {TIMEOUT:.0f} s", temporary=True) from None
    finally:
        abandoned.set()
        with contextlib.suppress(queue.Empty):
            while True:  # Nobody waits for room in it.
                received.get_nowait()


def _receive(
    address: str,
    start: int,
    received: queue.Queue[_Answer | bytes | _Failure],
    abandoned: threading.Event,
) -> None:
    """Puts into ``received`` an answer, its blocks, and an empty one or a failure at the end."""
    headers = {"User-Agent": f"detzoo/{detzoo.__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
            raw: urllib3.HTTPResponse = response.raw
            head = _Answer(
                response.status_code, response.reason, response.headers, raw.length_remaining
            )
            received.put(head)
            while not abandoned.is_set() and (block := raw.read1(1 << 18)):
                received.put(block)
        received.put(b"")
    # What is raised is for the server to choose: headers, redirects and chunks can all be nonsense.
    except Exception as error:
        received.put(_failure(error))


def _failure(error: Exception) -> _Failure:
    """Only an answer that broke off is worth asking for again: its host is there."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, IncompleteRead):
            return _Failure("the connection broke off", temporary=True)
        if isinstance(cause, ProtocolError | ReadTimeoutError):
            return _Failure(reason(error), temporary=True)
        cause = cause.__context__
    return _Failure(reason(error), temporary=False)


@contextlib.contextmanager
def _progress_bar(name: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"downloading {name}", highlight=False, soft_wrap=True)
    with Progress(
        *columns,
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, size: progress.update(task, completed=done, total=size)
