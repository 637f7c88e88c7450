"""A server of one file of weights that can misbehave in the ways that servers do."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch


def _weights() -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.arange(25_000.0)}, file)
    return file.getvalue()


CONTENT = _weights()  # about 100 kB
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]
NAME = f"weights-{DIGITS}.pth"


@dataclass
class Server:
    """What one server does, and what it was asked: (path, Range) in order.

    ``behaviours`` are taken one per request; after the last of them it serves properly.
    """

    address: str = ""
    behaviours: list[Callable[[Handler], None]] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    server_behind: Server

    def do_GET(self) -> None:
        behind = self.server_behind
        behind.requests.append((self.path, self.headers.get("Range")))
        behaviour = behind.behaviours.pop(0) if behind.behaviours else serve
        behaviour(self)

    def start(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def serve(handler: Handler, content: bytes = CONTENT) -> None:
    """The file, or the part that was asked for."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if start >= len(content):
        handler.start(416, 0, Content_Range=f"bytes */{len(content)}")
        return
    if asked:
        part = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.start(206, len(content) - start, Content_Range=part)
    else:
        handler.start(200, len(content))
    handler.wfile.write(content[start:])


def without_ranges(handler: Handler) -> None:
    handler.start(200, len(CONTENT))
    handler.wfile.write(CONTENT)


def without_length(handler: Handler) -> None:
    handler.start(200, None)
    handler.wfile.write(CONTENT)


def corrupt(handler: Handler) -> None:
    serve(handler, CONTENT[:-1] + b"?")


def page(handler: Handler) -> None:
    """What parked domains answer to everything."""
    serve(handler, b"<html>for sale</html>")


def empty(handler: Handler) -> None:
    handler.start(200, 0)


def lie(*lines: bytes, body: bytes = CONTENT) -> Callable[[Handler], None]:
    """Writes these lines as the head of the answer, then ``body``."""

    def behave(handler: Handler) -> None:
        with contextlib.suppress(OSError):  # the client need not listen to the end
            handler.wfile.write(b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body)
        handler.close_connection = True

    return behave


def drip(begin: bytes, drop: bytes, pause: float, count: int) -> Callable[[Handler], None]:
    """Writes ``begin``, then a ``drop`` after every ``pause``."""

    def behave(handler: Handler) -> None:
        with contextlib.suppress(OSError):
            handler.wfile.write(begin)
            for _ in range(count):
                time.sleep(pause)
                handler.wfile.write(drop)
        handler.close_connection = True

    return behave


def refuse(status: int) -> Callable[[Handler], None]:
    return lambda handler: handler.start(status, 0)


def truncate(kept: int) -> Callable[[Handler], None]:
    """Ends the connection after ``kept`` of the bytes that it owes."""

    def behave(handler: Handler) -> None:
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        part = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.start(206 if asked else 200, len(CONTENT) - start, Content_Range=part)
        handler.wfile.write(CONTENT[start : start + kept])

    return behave


def stall(seconds: float) -> Callable[[Handler], None]:
    """Sends a part, then nothing for longer than the client waits."""

    def behave(handler: Handler) -> None:
        truncate(1000)(handler)
        handler.wfile.flush()
        time.sleep(seconds)

    return behave


def slow(seconds: float) -> Callable[[Handler], None]:
    """The whole file, in two parts with a pause between."""

    def behave(handler: Handler) -> None:
        handler.start(200, len(CONTENT))
        handler.wfile.write(CONTENT[:5000])
        handler.wfile.flush()
        time.sleep(seconds)
        handler.wfile.write(CONTENT[5000:])

    return behave


def other_part(handler: Handler) -> None:
    handler.start(206, 10, Content_Range=f"bytes 0-9/{len(CONTENT)}")
    handler.wfile.write(CONTENT[:10])


@contextmanager
def running() -> Iterator[Server]:
    """A server on a free port of this machine."""
    behind = Server()
    handler = type("Bound", (Handler,), {"server_behind": behind})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    behind.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield behind
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
