"""Downloads that survive bad connections: resumed, retried, verified, renamed when whole."""

from __future__ import annotations

import contextlib
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import detzoo
from detzoo.errors import CheckpointError
from detzoo.weights.files import has_digits, hash_digits, reason

try:
    import fcntl
except ImportError:  # Not a Unix system.
    fcntl = None  # type: ignore[assignment]

TRIES = 5  # at each address
TIMEOUT = 20.0  # seconds without a byte
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


def download(addresses: Sequence[str], target: Path) -> None:
    """Writes to ``target`` what the first of ``addresses`` gives that has it.

    The file takes its name only when it is whole and, where the name ends in digits of its hash,
    when they are right. Then an interrupted download is resumed too, from whichever address: the
    digits vouch for the result. A second process waits for the first and takes its file.

    Raises :class:`DownloadError` when no address has it, :class:`CheckpointError` when it cannot be
    written.
    """
    failures = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _partial(target) as (partial, file):
            if target.is_file():  # Another process was faster.
                return
            if hash_digits(target.name) is None:
                file.truncate(0)
            with _progress_bar(target.name) as report:
                for address in addresses:
                    try:
                        _fetch(address, file, partial, target.name, report)
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
def _partial(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """The file that ``target`` is downloaded to, and which no other process writes meanwhile."""
    partial = target.with_name(f".{target.name}.part")
    file = _lock(partial)
    if file is None:
        # No locks here: a file of this process alone, which is not resumed.
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=partial.name, delete=False
        ) as own:
            try:
                yield Path(own.name), own
            finally:
                Path(own.name).unlink(missing_ok=True)
        return
    with file:
        yield partial, file
        # Left for the next try, unless there is nothing in it.
        if target.is_file() or os.fstat(file.fileno()).st_size == 0:
            partial.unlink(missing_ok=True)


def _lock(path: Path) -> IO[bytes] | None:
    """``path``, open and locked until it is closed. None where files cannot be locked."""
    if fcntl is None:
        return None
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # Some network file systems.
            file.close()
            return None
        # Whoever had it may have renamed or removed it meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _fetch(address: str, file: IO[bytes], partial: Path, name: str, report: Report) -> None:
    """The whole file from ``address``, verified. Raises :class:`_Failure` after all tries."""
    digits = hash_digits(name)
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
        if digits is None or has_digits(partial, digits):
            return
        file.truncate(0)
        fresh_tries += is_fresh
        if fresh_tries == 2:
            break
    raise _Failure(f"its content does not have the hash {digits} of its name", temporary=False)


def _transfer(address: str, file: IO[bytes], report: Report) -> None:
    """Appends to ``file`` what it lacks. Raises :class:`_Failure` where that stops early."""
    done = file.seek(0, os.SEEK_END)
    headers = {"User-Agent": f"detzoo/{detzoo.__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    with _asked(urllib.request.Request(address, headers=headers), file, done) as response:
        if response is None:
            return
        length = response.headers.get("Content-Length")
        if response.status != 206:
            done = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            file.truncate(0)
            raise _Failure("it answers with another part than the asked one", temporary=True)
        file.seek(done)
        file.truncate()
        size = None if length is None else done + int(length)
        while True:
            report(done, size)
            try:
                block = response.read1(1 << 18)
            except (OSError, http.client.HTTPException) as error:
                why = f"stopped after {done} bytes ({reason(error)})"
                raise _Failure(why, temporary=True) from None
            if not block:
                break
            file.write(block)
            done += len(block)
    if size is not None and done < size:
        raise _Failure(f"stopped after {done} of {size} bytes", temporary=True)


@contextlib.contextmanager
def _asked(
    request: urllib.request.Request, file: IO[bytes], done: int
) -> Iterator[http.client.HTTPResponse | None]:
    """The answer to ``request``, or None when it says that the ``done`` bytes are all there are."""
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            length = error.headers.get("Content-Range", "").removeprefix("bytes */")
        if error.code == 416 and length == str(done):
            yield None
            return
        if error.code == 416:
            file.truncate(0)  # More than there is: the rest of another file.
        temporary = error.code in (408, 416, 429) or error.code >= 500
        raise _Failure(f"HTTP {error.code} {error.reason}", temporary=temporary) from None
    except urllib.error.URLError as error:
        # The host is not there, or does not take connections: asking again seldom helps.
        why = error.reason if isinstance(error.reason, str) else reason(error.reason)
        raise _Failure(why, temporary=False) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Failure(reason(error), temporary=True) from None
    with response:
        yield response


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
