from __future__ import annotations

import contextlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from detzoo.errors import CheckpointError
from detzoo.weights import download as module
from detzoo.weights.download import DownloadError, download
from tests.weights import server as behave
from tests.weights.server import CONTENT, NAME, Server, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.001)
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def fetch(server: Server, target: Path, name: str = NAME) -> None:
    download([f"{server.address}/{name}"], target)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / NAME
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert files(target.parent) == [NAME]
    assert server.requests == [(f"/{NAME}", None)]


def test_usual_permissions(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / NAME)
    (tmp_path / "ordinary").touch()
    assert (tmp_path / NAME).stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_truncated_download_is_resumed(server: Server, tmp_path: Path) -> None:
    server.behaviours = [behave.truncate(1000), behave.truncate(500)]
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [part for _, part in server.requests] == [None, "bytes=1000-", "bytes=1500-"]


def test_a_stalled_download_is_resumed(server: Server, tmp_path: Path) -> None:
    server.behaviours = [behave.stall(0.6)]
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.requests[1][1] == "bytes=1000-"


def test_a_stalled_server_is_given_up(server: Server, tmp_path: Path) -> None:
    server.behaviours = [behave.stall(0.4)] * module.TRIES
    with pytest.raises(DownloadError, match=rf"stopped after 5000 of {len(CONTENT)} bytes"):
        fetch(server, tmp_path / NAME)
    assert len(server.requests) == module.TRIES


@pytest.mark.parametrize("answer", [behave.without_ranges, behave.without_length])
def test_a_server_that_cannot_resume(server: Server, tmp_path: Path, answer) -> None:  # type: ignore[no-untyped-def]
    server.behaviours = [behave.truncate(1000), answer]
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_part_that_was_not_asked_for(server: Server, tmp_path: Path) -> None:
    server.behaviours = [behave.truncate(1000), behave.other_part]
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.requests[2][1] is None


def test_a_later_run_goes_on_at_another_address(tmp_path: Path) -> None:
    with running() as first:
        first.behaviours = [behave.truncate(100)] * module.TRIES
        with pytest.raises(DownloadError, match=rf"stopped after 500 of {len(CONTENT)} bytes"):
            fetch(first, tmp_path / NAME)
    assert files(tmp_path) == [f".lock.{NAME}", f".part.{NAME}"]
    with running() as second:
        fetch(second, tmp_path / NAME)
    assert second.requests == [(f"/{NAME}", "bytes=500-")]
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert files(tmp_path) == [NAME]


def test_a_whole_part_needs_no_further_byte(server: Server, tmp_path: Path) -> None:
    (tmp_path / f".part.{NAME}").write_bytes(CONTENT)
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert len(server.requests) == 1


@pytest.mark.parametrize("left", [b"rubbish", CONTENT + b"more"])
def test_a_wrong_part_is_thrown_away(server: Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / f".part.{NAME}").write_bytes(left)
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_without_digits_nothing_is_resumed_between_runs(server: Server, tmp_path: Path) -> None:
    """What another address left could be another file."""
    (tmp_path / ".part.pvt_tiny.pth").write_bytes(b"rubbish")
    server.behaviours = [behave.truncate(1000)]
    fetch(server, tmp_path / "pvt_tiny.pth", "pvt_tiny.pth")
    assert [part for _, part in server.requests] == [None, "bytes=1000-"]
    assert (tmp_path / "pvt_tiny.pth").read_bytes() == CONTENT


def test_without_digits_the_content_vouches_for_itself(server: Server, tmp_path: Path) -> None:
    server.behaviours = [behave.page] * 9
    with pytest.raises(DownloadError, match="its response is not a weight file: cannot be"):
        fetch(server, tmp_path / "pvt_tiny.pth", "pvt_tiny.pth")
    server.behaviours = [behave.empty] * 9
    with pytest.raises(DownloadError, match="not a weight file"):
        fetch(server, tmp_path / "pvt_tiny.pth", "pvt_tiny.pth")
    assert files(tmp_path) == [".lock.pvt_tiny.pth"]


@pytest.mark.parametrize("answer", [behave.corrupt, behave.page])
def test_wrong_content_never_gets_the_name(server: Server, tmp_path: Path, answer) -> None:  # type: ignore[no-untyped-def]
    server.behaviours = [answer] * 9
    with pytest.raises(DownloadError, match="does not match the hash"):
        fetch(server, tmp_path / NAME)
    assert files(tmp_path) == [f".lock.{NAME}"]
    assert len(server.requests) == 2  # Once more: it may have been the way.


OK = b"HTTP/1.1 200 OK"
LENGTH = b"Content-Length: %d" % len(CONTENT)
CHUNKED = b"Transfer-Encoding: chunked"
FOUND = b"HTTP/1.1 302 Found"
LIES = {
    "no status": [b"hello"],
    "status in words": [b"HTTP/1.1 fine OK", LENGTH],
    "status that is none": [b"HTTP/1.1 999 Odd", LENGTH],
    "no content": [b"HTTP/1.1 204 No Content"],
    "not modified": [b"HTTP/1.1 304 Not Modified"],
    "another part": [b"HTTP/1.1 206 Partial Content", b"Content-Range: bytes 7-9/10", LENGTH],
    "part of nothing": [b"HTTP/1.1 206 Partial Content", LENGTH],
    "no such part": [b"HTTP/1.1 416 No", b"Content-Range: bytes */77"],
    "endless preface": [b"HTTP/1.1 100 Continue", b""] * 5000,
    "headers without end": [OK, *(b"X-%d: x" % i for i in range(500))],
    "header without end": [OK, b"X: " + b"x" * 100_000],
    "length too large": [OK, b"Content-Length: " + b"9" * 30],
    "lengths that differ": [OK, b"Content-Length: 5, 6"],
    "chunks that are none": [OK, CHUNKED],
    "packed": [OK, b"Content-Encoding: gzip", LENGTH],
    "redirect to nowhere": [FOUND],
    "redirect to itself": [FOUND, b"Location: /x"],
    "redirect to a file": [FOUND, b"Location: file:///etc/passwd"],
    "redirect to no host": [FOUND, b"Location: http:///x"],
    "redirect to half a host": [FOUND, b"Location: http://[::1/x"],
    "redirect to no port": [FOUND, b"Location: http://127.0.0.1:99999999/x"],
    "redirect to a long label": [FOUND, b"Location: http://" + b"a" * 70 + b"/x"],
    "redirect to an odd host": [FOUND, b"Location: http://a..b\xff\x01/x"],
}


@pytest.mark.parametrize("lines", LIES.values(), ids=LIES)
@pytest.mark.parametrize("name", [NAME, "pvt_tiny.pth"])
def test_answers_that_lie(server: Server, tmp_path: Path, lines: list[bytes], name: str) -> None:
    server.behaviours = [behave.lie(*lines)] * 99
    with pytest.raises(DownloadError, match=rf"{name}: \S"):
        fetch(server, tmp_path / name, name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    "lines",
    [
        [OK],
        [OK, b"Content-Length: many"],
        [OK, b"Content-Length: -5"],
        [OK, b"Content-Length: " + b"9" * 5000],
        [OK, LENGTH, LENGTH],
        [OK, b"rubbish", b"\xff\xfe: \xff"],
        [b"HTTP/1.0 200"],
        [b"HTTP/1.1 203 Other", LENGTH],
        [b"HTTP/1.1 100 Continue", b"", OK, LENGTH],
    ],
)
def test_odd_answers_that_give_the_file(server: Server, tmp_path: Path, lines: list[bytes]) -> None:
    server.behaviours = [behave.lie(*lines)]
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"\r\n".join([OK, LENGTH, b"", b""]), b"x"),
        (b"\r\n".join([OK, CHUNKED, b"", b""]), b"1\r\nx\r\n"),
        (OK + b"\r\n", b"X: x\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "headers", "preface"],
)
def test_a_server_that_drips_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: bytes, drop: bytes
) -> None:
    """Every drop comes before the socket's own timeout."""
    monkeypatch.setattr(module, "TRIES", 2)
    server.behaviours = [behave.drip(begin, drop, 0.05, 12)] * 2
    with pytest.raises(DownloadError, match="too slow: almost nothing arrived in 0 s"):
        fetch(server, tmp_path / NAME)


def test_a_server_that_never_ends(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 300_000)
    server.behaviours = [behave.lie(OK, body=CONTENT * 9)] * 9
    with pytest.raises(DownloadError, match=r"stopped after \d+ bytes \(\d+ bytes are the most"):
        fetch(server, tmp_path / NAME)


def test_corrupt_once(server: Server, tmp_path: Path) -> None:
    server.behaviours = [behave.corrupt]
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_what_is_refused_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    server.behaviours = [behave.refuse(404)]
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1.*: HTTP 404 Not Found"):
        fetch(server, tmp_path / NAME)
    assert len(server.requests) == 1
    assert files(tmp_path) == [f".lock.{NAME}"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    server.behaviours = [behave.refuse(status)] * 2
    fetch(server, tmp_path / NAME)
    assert len(server.requests) == 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_addresses_are_tried_in_order(server: Server, tmp_path: Path) -> None:
    with running() as refusing, running() as corrupting:
        refusing.behaviours = [behave.refuse(403)]
        corrupting.behaviours = [behave.corrupt] * 9
        nobody = f"http://127.0.0.1:{free_port()}"
        roots = [nobody, refusing.address, corrupting.address, server.address]
        download([f"{root}/{NAME}" for root in roots], tmp_path / NAME)
        assert (tmp_path / NAME).read_bytes() == CONTENT
        assert [len(s.requests) for s in (refusing, corrupting, server)] == [1, 2, 1]
        server.behaviours = [behave.refuse(404)]
        corrupting.behaviours = [behave.corrupt] * 9
        with pytest.raises(DownloadError) as error:
            download([f"{root}/{NAME}" for root in roots[:1] + roots[2:]], tmp_path / f"2-{NAME}")
    lines = str(error.value).splitlines()
    assert [line.split(f"/{NAME}: ")[0] for line in lines] == [nobody, *roots[2:]]
    assert "refused" in lines[0]
    assert "hash" in lines[1]


def test_one_retry_of_a_host_that_drops_packets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a socket does whose queue is full."""
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.05)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        name = listening.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(name)
        pauses: list[float] = []
        here = threading.get_ident()

        def sleep(seconds: float) -> None:
            if threading.get_ident() == here:  # servers of other tests pause as well
                pauses.append(seconds)

        monkeypatch.setattr(module.time, "sleep", sleep)
        unreachable: set[str] = set()
        with pytest.raises(DownloadError, match="no connection within 0 s"):
            download([f"http://127.0.0.1:{name[1]}/x.pth"], tmp_path / "x.pth", unreachable)
    assert len(pauses) == module.SILENT_TRIES - 1
    assert unreachable == {f"127.0.0.1:{name[1]}"}


def test_one_retry_of_a_host_that_is_silent(tmp_path: Path) -> None:
    """It accepts a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        unreachable: set[str] = set()
        with pytest.raises(DownloadError, match="too slow: almost nothing"):
            download([f"http://{host}/x.pth"], tmp_path / "x.pth", unreachable)
        listening.setblocking(False)
        for _ in range(module.SILENT_TRIES):
            listening.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert unreachable == {host}


def test_what_is_said(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running() as refusing:
        refusing.behaviours = [behave.refuse(404)]
        download([f"{root}/{NAME}" for root in (refusing.address, server.address)], tmp_path / NAME)
    hosts = [address.removeprefix("http://") for address in (refusing.address, server.address)]
    assert capsys.readouterr().err.splitlines() == [
        f"downloading {NAME}",
        f"{hosts[0]}: HTTP 404 Not Found",
        f"downloaded {NAME} ({len(CONTENT) / 1e6:.1f} MB) from {hosts[1]}",
    ]


def test_a_full_disk(server: Server, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(CheckpointError, match=rf"{NAME}: cannot be written \(File too large\)"):
            fetch(server, tmp_path / NAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="XDG_CACHE_HOME"):
        fetch(server, tmp_path / "file" / NAME)


def test_without_locks(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError("no locks on this file system")

    monkeypatch.setattr(module.FileLock, "acquire", no_locks)
    server.behaviours = [behave.truncate(1000)]
    fetch(server, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_processes_at_once(server: Server, tmp_path: Path) -> None:
    """One of them downloads, the others take its file."""
    server.behaviours = [behave.slow(1.0)]
    code = (
        "import sys; from pathlib import Path; from detzoo.weights.download import download;"
        "download([sys.argv[1]], Path(sys.argv[2])); print(len(Path(sys.argv[2]).read_bytes()))"
    )
    arguments = [sys.executable, "-c", code, f"{server.address}/{NAME}", str(tmp_path / NAME)]
    started = [
        subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outcomes = [process.communicate(timeout=60) for process in started]
    assert [out.strip() for out, _ in outcomes] == [str(len(CONTENT))] * 2, outcomes
    assert files(tmp_path) == [NAME]
    # A process may come when the file is already there, but never asks for it again.
    assert len(server.requests) == 1


@pytest.mark.usefixtures("foreground")
def test_an_interruption_leaves_what_there_is(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.behaviours = [behave.truncate(1000)]
    with monkeypatch.context() as patch:
        interrupting = SimpleNamespace(
            sleep=lambda _: signal.raise_signal(signal.SIGINT), monotonic=time.monotonic
        )
        patch.setattr(module, "time", interrupting)
        with pytest.raises(KeyboardInterrupt):
            fetch(server, tmp_path / NAME)
    assert files(tmp_path) == [f".lock.{NAME}", f".part.{NAME}"]
    fetch(server, tmp_path / NAME)
    assert server.requests[-1][1] == "bytes=1000-"
    assert (tmp_path / NAME).read_bytes() == CONTENT
