"""Downloads for unreliable connections: resumed, retried, verified, renamed when complete."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import queue
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import requests
import urllib3
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from typing_extensions import Self
from urllib3.exceptions import (
    ConnectTimeoutError,
    IncompleteRead,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

import detzoo
from detzoo.errors import CheckpointError
from detzoo.weights.files import has_digits, read_file, reason
from detzoo.weights.places import hash_digits

TRIES = 5  # per address that sends data
SILENT_TRIES = 2  # per address that does not
CONNECT_TIMEOUT = 5.0  # seconds for a host to accept a connection
TIMEOUT = 20.0  # seconds in which LEAST bytes must arrive
LEAST = 1 << 14
MOST = 1 << 34  # bytes: no weight file is larger
MOST_OF_DATA = 1 << 38
PAUSE = 1.0  # seconds before the second try, doubled for each further try

# Called with the number of bytes so far, and the total if known.
Report = Callable[[int, int | None], None]
# What is wrong with a complete file, if anything.
Verify = Callable[[Path], str | None]


class DownloadError(CheckpointError):
    """No address provides the file. The message has a line per address."""


class _Failure(Exception):
    """Why one address does not provide the file, and whether to retry.

    ``silent``: its host did not respond at all.
    """

    def __init__(self, why: str, *, temporary: bool, silent: bool = False) -> None:
        super().__init__(why)
        self.temporary = temporary
        self.silent = silent


@dataclass(frozen=True)
class _Answer:
    """The head of a server's response. ``length``: the number of bytes that follow, if known."""

    status: int
    reason: str
    headers: Mapping[str, str]
    length: int | None


def download(
    addresses: Sequence[str],
    target: Path,
    unreachable: set[str] | None = None,
    *,
    verify: Verify | None = None,
) -> None:
    """Downloads ``target`` from the first of ``addresses`` that has it, and prints which.

    Hosts in ``unreachable`` are skipped; those that do not respond are added.

    The file gets its name only when it is complete and verified: by ``verify``, which is for other
    files than weights, by the hash digits at the end of its name, otherwise by opening it. With one
    of the former two, an interrupted download is resumed, from any address. A second process waits
    for the first and uses its file.

    Raises :class:`DownloadError` if no address has it, :class:`CheckpointError` if it cannot be
    written.
    """
    failures = []
    most = MOST if verify is None else MOST_OF_DATA
    unreachable = set() if unreachable is None else unreachable
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _partial(target) as partial, open(partial, "a+b") as file:
            if target.is_file():  # Another process was faster.
                return
            if verify is None and hash_digits(target.name) is None:
                file.truncate(0)
            fault_of = functools.partial(verify or _fault_of, partial)
            with _Display(target.name) as display:
                for address in addresses:
                    host = _host(address)
                    if host in unreachable:
                        failures.append(
                            f"{address}: skipped, since its host did not respond earlier"
                        )
                        continue
                    try:
                        _fetch(address, file, display.report, fault_of, most)
                    except _Failure as failure:
                        failures.append(f"{address}: {failure}")
                        display.say(f"{host}: {failure}")
                        if failure.silent:
                            unreachable.add(host)
                        continue
                    os.fsync(file.fileno())
                    partial.replace(target)
                    size = target.stat().st_size / 1e6
                    display.say(f"downloaded {target.name} ({size:.1f} MB) from {host}")
                    return
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot be written ({reason(error)}). Free some disk space, or choose "
            "another folder for caches with XDG_CACHE_HOME."
        ) from error
    raise DownloadError("\n".join(failures))


def read_address(address: str, most: int) -> bytes:
    """The content of a file at a web address, of at most ``most`` bytes, as :func:`download` would
    get it, but into memory.

    Raises :class:`DownloadError`, which says why it cannot be had.
    """
    file = io.BytesIO()
    try:
        _fetch(address, file, lambda done, size: None, lambda: None, most)
    except _Failure as failure:
        raise DownloadError(str(failure)) from None
    return file.getvalue()


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Locks and opens the temporary file that ``target`` is downloaded to."""
    partial = target.with_name(f".part.{target.name}")
    lock = FileLock(target.with_name(f".lock.{target.name}"))
    try:
        lock.acquire()
    except (OSError, NotImplementedError):  # Some network file systems have no locks.
        # A file for this process alone, which is not resumed.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part.") as folder:
            yield Path(folder, target.name)
        return
    try:
        yield partial
        # Kept for the next try, unless it is empty.
        if target.is_file() or partial.stat().st_size == 0:
            partial.unlink(missing_ok=True)
        # A process that waits for the lock of a completed file no longer needs it.
        if target.is_file():
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def _fetch(
    address: str, file: IO[bytes], report: Report, fault_of: Callable[[], str | None], most: int
) -> None:
    """Downloads the file at ``address``, of at most ``most`` bytes, until it has no fault.

    Raises :class:`_Failure` after all tries.
    """
    fresh_tries = silent_tries = 0
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        is_fresh = file.seek(0, os.SEEK_END) == 0
        try:
            _transfer(address, file, report, most)
        except _Failure as failure:
            silent_tries += failure.silent
            if not failure.temporary or silent_tries == SILENT_TRIES or attempt == TRIES - 1:
                raise
            continue
        file.flush()
        fault = fault_of()
        if fault is None:
            return
        _empty(file)
        fresh_tries += is_fresh
        if (
            fresh_tries == 2 or attempt == TRIES - 1
        ):  # Once more: the transfer may have been at fault.
            raise _Failure(fault, temporary=False)


def _empty(file: IO[bytes]) -> None:
    file.truncate(0)
    file.seek(0)


def _fault_of(partial: Path) -> str | None:
    """Describes what is wrong with a complete file, if anything."""
    digits = hash_digits(partial.name)
    if digits is not None:
        right = has_digits(partial, digits)
        return None if right else f"its content does not match the hash {digits} in its name"
    try:
        read_file(partial)
    except CheckpointError as error:
        return f"its response is not a weight file{str(error).removeprefix(str(partial))}"
    return None


def _transfer(address: str, file: IO[bytes], report: Report, most: int) -> None:
    """Appends the missing bytes to ``file``. Raises :class:`_Failure` if it stops early."""
    done = file.seek(0, os.SEEK_END)
    stream = _stream(address, done)
    with contextlib.closing(stream):
        answer = next(stream)
        assert isinstance(answer, _Answer)
        content_range = answer.headers.get("Content-Range", "")
        if answer.status == 416 and content_range == f"bytes */{done}":
            return  # complete already
        if answer.status == 416 or (
            answer.status == 206 and not content_range.startswith(f"bytes {done}-")
        ):
            _empty(file)  # perhaps the partial download of another file
            raise _Failure("it sent another part than requested", temporary=True)
        if answer.status not in (200, 203, 206):
            temporary = answer.status in (408, 429) or answer.status >= 500
            raise _Failure(f"HTTP {answer.status} {answer.reason}", temporary=temporary)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise _Failure("it sent the file compressed, which was not requested", temporary=False)
        if answer.status != 206:
            done = 0
            _empty(file)
        size = None if answer.length is None else done + answer.length
        if size is not None and size > most:
            raise _Failure(
                f"announced {size} bytes, and {most} are the most that are read", temporary=False
            )
        report(done, size)
        try:
            for block in stream:
                assert isinstance(block, bytes)
                file.write(block)
                done += len(block)
                report(done, size)
                if done > most:
                    raise _Failure(f"{most} bytes are the most that are read", temporary=False)
        except _Failure as failure:
            of_all = "" if size is None else f" of {size}"
            why = f"stopped after {done}{of_all} bytes ({failure})"
            raise _Failure(why, temporary=failure.temporary) from None


def _stream(address: str, start: int) -> Generator[_Answer | bytes, None, None]:
    """Requests a file from byte ``start`` on, and yields the response: its head, then blocks.

    Raises :class:`_Failure` if ``LEAST`` bytes take longer than ``TIMEOUT``. A socket's own timeout
    restarts with every byte, so another thread receives and this one watches the time.
    """
    received: queue.Queue[_Answer | bytes | _Failure] = queue.Queue(maxsize=16)
    abandoned = threading.Event()
    arguments = (address, start, received, abandoned)
    threading.Thread(target=_receive, args=arguments, daemon=True).start()
    count = 0
    is_silent = True
    deadline = time.monotonic() + TIMEOUT
    try:
        while True:
            item = received.get(timeout=max(0, deadline - time.monotonic()))
            if isinstance(item, _Failure):
                raise item
            if item == b"":
                return
            yield item
            is_silent = False
            count += LEAST if isinstance(item, _Answer) else len(item)
            if count >= LEAST:
                count = 0
                deadline = time.monotonic() + TIMEOUT
    except queue.Empty:
        why = f"too slow: almost nothing arrived in {TIMEOUT:.0f} s"
        raise _Failure(why, temporary=True, silent=is_silent) from None
    finally:
        abandoned.set()
        with contextlib.suppress(queue.Empty):
            while True:  # No one blocks on a full queue.
                received.get_nowait()


def _receive(
    address: str,
    start: int,
    received: queue.Queue[_Answer | bytes | _Failure],
    abandoned: threading.Event,
) -> None:
    """Puts a response into ``received``: head, blocks, and finally an empty block or a failure."""
    headers = {"User-Agent": f"detzoo/{detzoo.__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    # The second ends an abandoned thread, and must not come before the deadline: it would not be
    # known then that the host was silent.
    timeouts = (CONNECT_TIMEOUT, 2 * TIMEOUT)
    try:
        with requests.get(address, headers=headers, stream=True, timeout=timeouts) as response:
            raw: urllib3.HTTPResponse = response.raw
            head = _Answer(
                response.status_code, response.reason, response.headers, raw.length_remaining
            )
            received.put(head)
            while not abandoned.is_set() and (block := raw.read1(1 << 18)):
                received.put(block)
        received.put(b"")
    # A server can cause any error: headers, redirects and chunks can all be malformed.
    except Exception as error:
        received.put(_failure(error))


def _failure(error: Exception) -> _Failure:
    """Classifies an error: retry interrupted responses, and once a host that did not respond."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NewConnectionError):
            system_error = cause.__cause__ or cause.__context__ or cause
            return _Failure(reason(system_error), temporary=True, silent=True)
        if isinstance(cause, ConnectTimeoutError):
            why = f"no connection within {CONNECT_TIMEOUT:.0f} s"
            return _Failure(why, temporary=True, silent=True)
        if isinstance(cause, IncompleteRead):
            return _Failure("the connection was interrupted", temporary=True)
        if isinstance(cause, ProtocolError | ReadTimeoutError):
            return _Failure(reason(error), temporary=True)
        cause = cause.__context__
    return _Failure(reason(error), temporary=False)


def _host(address: str) -> str:
    return urllib.parse.urlsplit(address).netloc


class _Display:
    """Shows a download: a progress bar in a terminal, otherwise a line; and its source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        if not self.console.is_terminal:
            self.say(f"downloading {self.name}")
        self.progress.start()
        self.task = self.progress.add_task(self.name, total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def report(self, done: int, size: int | None) -> None:
        self.progress.update(self.task, completed=done, total=size)

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)
