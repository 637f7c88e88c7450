"""A small Hugging Face Hub on this machine, as much of it as its client asks for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

COMMIT = "0123456789" * 4


@dataclass
class FakeHub:
    """``files`` by repository and path; ``requests``: method and path, in order."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuses_commits: bool = False


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self._serve(with_content=False)

    def do_GET(self) -> None:
        self._serve(with_content=True)

    def _serve(self, *, with_content: bool) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/(\w+)/(.+)", self.path)
        repository, name = (found[1], found[3]) if found else ("", "")
        content = self.hub.files.get(repository, {}).get(name)
        if content is None:
            code = "EntryNotFound" if repository in self.hub.files else "RepoNotFound"
            self._answer(404, b"", {"X-Error-Code": code})
            return
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self._answer(200, content, headers, with_content=with_content)

    def do_POST(self) -> None:
        self.hub.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        repository = "/".join(self.path.split("/")[3:5])
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}"
            self.hub.files.setdefault(repository, {})
            self.hub.private[repository] = asked.get("visibility") == "private"
            self._json({"url": f"{self.hub.address}/{repository}"})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            self._json({"files": [{"path": path, **modes} for path in paths]})
        elif self.hub.refuses_commits:
            self._answer(403, b'{"error": "no write access"}', {})
        else:
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    content = base64.b64decode(item["value"]["content"])
                    self.hub.files[repository][item["value"]["path"]] = content
            url = f"{self.hub.address}/{repository}/commit/{COMMIT}"
            self._json({"commitUrl": url, "commitOid": COMMIT, "success": True})

    def _json(self, content: Any) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(
        self, status: int, content: bytes, headers: dict[str, str], *, with_content: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_hub(cache: Path, token: str | None = None) -> Iterator[FakeHub]:
    """A hub that ``huggingface_hub`` takes for the real one, with an empty ``cache``."""
    from huggingface_hub import constants

    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {"no_proxy": "*", **({} if token is None else {"HF_TOKEN": token})}
    try:
        with (
            mock.patch.dict("os.environ", environment),
            mock.patch.multiple(
                constants,
                ENDPOINT=hub.address,
                HUGGINGFACE_CO_URL_TEMPLATE=hub.address
                + "/{repo_id}/resolve/{revision}/{filename}",
                HF_HUB_CACHE=str(cache),
                HF_TOKEN_PATH=str(cache / "token"),
            ),
        ):
            yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
