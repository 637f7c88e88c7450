"""The local page, over HTTP."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from detzoo.errors import CheckpointError
from detzoo.inference.predictor import Predictor
from detzoo.quickstart.scenes import CLASSES
from detzoo.ui.app import PAGE, Models, create_app
from tests.cli.conftest import FIT, Run, assert_refused, detzoo, retinanet, scenes  # noqa: F401
from tests.tiny import tiny_retinanet

MOST_BYTES = 100_000


def open_model(name: str) -> Predictor:
    if name == "broken.pt":
        raise CheckpointError("broken.pt: is cut off. Download it again.")
    experiment = tiny_retinanet(CLASSES, FIT)
    torch.manual_seed(0 if name == "a.pt" else 1)
    model = experiment.build_model()
    for part in ("retina_cls.weight", "retina_cls.bias"):  # a fresh head is sure of nothing
        torch.nn.init.normal_(model.get_parameter(f"bbox_head.{part}"))
    return Predictor(experiment, model)


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The address of ``app``, on the loopback."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    (port,) = {s.getsockname()[1] for one in server.servers for s in one.sockets}
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Models(["a.pt", "b.pt", "broken.pt"], open_model), MOST_BYTES)


@pytest.fixture(scope="module")
def address(app: FastAPI) -> Iterator[str]:
    with serving(app) as address:
        yield address


def ask(address: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{address}/{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def picture() -> bytes:
    image = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def detect(address: str, body: bytes, **asked: Any) -> tuple[int, Any]:
    code, content = ask(address, f"detect?{urllib.parse.urlencode(asked)}", body)
    return code, json.loads(content)


def test_page_needs_nothing_from_elsewhere(address: str) -> None:
    code, page = ask(address, "")
    assert code == 200
    assert page == PAGE.read_bytes()
    assert not re.findall(rb"https?://", page)


def test_models_are_listed(address: str) -> None:
    code, content = ask(address, "models")
    assert code == 200
    wanted = {"models": ["a.pt", "b.pt", "broken.pt"], "most_bytes": MOST_BYTES}
    assert json.loads(content) == wanted


def test_detections_are_those_of_the_model(address: str) -> None:
    code, found = detect(address, picture(), model="b.pt", min_score=0.05)
    assert code == 200
    image = cv2.imdecode(np.frombuffer(picture(), np.uint8), cv2.IMREAD_COLOR)
    (result,) = open_model("b.pt").predict(image, min_score=0.05)
    assert len(result) > 0
    drawn = base64.b64decode(found.pop("picture"))
    assert found == json.loads(json.dumps(result.to_json()))
    shown = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (48, 80, 3)
    assert np.abs(shown.astype(int) - result.draw()).mean() < 20  # JPEG


def test_two_models_differ_and_scores_limit(address: str) -> None:
    answers = [detect(address, picture(), model=m, min_score=0.05)[1] for m in ("a.pt", "b.pt")]
    assert answers[0]["detections"] != answers[1]["detections"]
    most = max(item["score"] for item in answers[0]["detections"])
    _, none = detect(address, picture(), model="a.pt", min_score=min(most + 1e-3, 1))
    assert none["detections"] == []


@pytest.mark.parametrize(
    ("asked", "body", "code", "words"),
    [
        ({"model": "/etc/passwd"}, b"", 404, "is not one of the models"),
        ({"model": "a.pt", "min_score": 2}, b"", 400, "min_score: 2.0 is not between 0 and 1"),
        ({"model": "a.pt"}, b"GIF89a", 400, "not a picture"),
        ({"model": "a.pt"}, bytes(MOST_BYTES + 1), 413, f"more than {MOST_BYTES} bytes"),
        ({"model": "broken.pt"}, picture(), 400, "broken.pt: is cut off. Download it again."),
    ],
)
def test_what_is_refused(
    address: str, asked: dict[str, Any], body: bytes, code: int, words: str
) -> None:
    answered, content = detect(address, body, **asked)
    assert answered == code
    assert words in content["detail"]


def test_only_this_machine_is_answered(address: str) -> None:
    """A name on the web that leads to 127.0.0.1 is not one of the page's."""
    code, _ = ask(address, "models", Host="attacker.example")
    assert code == 400


def test_two_models_are_kept() -> None:
    loads = []

    def load(name: str) -> Predictor:
        loads.append(name)
        return open_model(name)

    models = Models(["a.pt", "b.pt", "c.pt"], load)
    for name in ("a.pt", "b.pt", "a.pt", "c.pt", "a.pt", "b.pt"):
        models.open(name)
    assert loads == ["a.pt", "b.pt", "c.pt", "b.pt"]


def test_command_refuses(detzoo: Run, retinanet: Path) -> None:  # noqa: F811
    assert_refused(detzoo("ui", "no_such_model"), "no model is called 'no_such_model'")
    assert_refused(detzoo("ui", "missing.pt"), "missing.pt: no such file")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(detzoo("ui", retinanet, "--port", port), f"--port {port}: cannot be used")


# Drops a picture onto the page as soon as its models are known, with two models to compare.
DROP = """<script>
const wait = setInterval(() => {
  if (!at("first").value) return;
  clearInterval(wait);
  at("second").value = "broken.pt";
  at("score").value = 0.05;
  const content = Uint8Array.from(atob("PICTURE"), letter => letter.charCodeAt(0));
  const dropped = new DataTransfer();
  dropped.items.add(new File([content], "scene.png"));
  dispatchEvent(new DragEvent("drop", {dataTransfer: dropped}));
}, 10);
</script>"""


@pytest.mark.slow
def test_in_a_browser(app: FastAPI) -> None:
    """A dropped picture is shown with what one model finds, and with the error of another."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is here")
    drop = DROP.replace("PICTURE", base64.b64encode(picture()).decode())

    @app.get("/dropped", response_class=HTMLResponse)
    def page() -> str:
        return PAGE.read_text() + drop

    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000")
    with serving(app) as address:
        command = [chromium, *flags, "--dump-dom", f"{address}/dropped"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        _, found = detect(address, picture(), model="a.pt", min_score=0.05)
    number = len(found["detections"])
    assert f"a.pt: {number} found <a" in shown
    assert 'download="scene_a.pt.jpg"' in shown
    assert shown.count("<tr>") == min(number, 20)
    assert "broken.pt: broken.pt: is cut off. Download it again." in shown
