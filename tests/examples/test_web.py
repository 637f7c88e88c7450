"""The web page, in a real browser."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import math
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detzoo.cli.main import run
from detzoo.inference.loading import load
from tests.shared import shared

PAGE = Path(__file__).parents[2] / "examples" / "web"
# Gives the page a picture as soon as it takes one, and sends what it shows, and what it found in
# numbers.
CHOOSE = """<script type="module">
import {open, detect} from "./detect.js";
const at = id => document.getElementById(id);
const content = Uint8Array.from(atob("PICTURE"), letter => letter.charCodeAt(0));
const file = new File([content], "photo.png", {type: "image/png"});
const chosen = new DataTransfer();
chosen.items.add(file);
const wait = setInterval(async () => {
  const status = at("status").textContent;
  if (status === "Choose a picture.") {
    at("file").files = chosen.files;
    at("file").dispatchEvent(new Event("change"));
  } else if (!status.endsWith("...")) {
    clearInterval(wait);
    const rows = [...at("found").rows].map(row => [...row.cells].map(cell => cell.textContent));
    const detector = await open(await (await fetch("model.onnx")).arrayBuffer());
    const image = await createImageBitmap(file, {colorSpaceConversion: "none"});
    const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
    canvas.drawImage(image, 0, 0);
    const picture = canvas.getImageData(0, 0, image.width, image.height);
    const detections = await detect(detector, picture, MIN_SCORE);
    fetch("sent", {method: "POST", body: JSON.stringify({status, rows, detections})});
  }
}, 50);
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and keeps what a page sends."""

    def __init__(self, *arguments: Any, sent: queue.Queue[Any], **named: Any) -> None:
        self.sent = sent
        super().__init__(*arguments, **named)

    def do_POST(self) -> None:
        self.sent.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, queue.Queue[Any]]]:
    """The address of ``folder`` on the loopback, and what its pages send."""
    sent: queue.Queue[Any] = queue.Queue()
    handler = functools.partial(Handler, directory=str(folder), sent=sent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", sent
        server.shutdown()
        thread.join()


def sent_by(chromium: str, address: str, sent: queue.Queue[Any], profile: Path) -> Any:
    """What the page at ``address`` sends."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}")
    browser = subprocess.Popen(
        [chromium, *flags, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return sent.get(timeout=120)
    finally:
        browser.terminate()
        browser.wait()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page, with YOLOX-Nano and its published weights beside it, exported with
    the options that are the parameter."""
    modules = Path(os.environ.get("DETZOO_NODE_MODULES", PAGE / "node_modules"))
    if not (modules / "onnxruntime-web").is_dir():
        pytest.skip(
            "onnxruntime-web is not there: npm install it, and name the folder node_modules in "
            "DETZOO_NODE_MODULES"
        )
    weights = shared("weights", "yolox_nano_8x8_300e_coco.pth")
    folder = tmp_path_factory.mktemp("site")
    (folder / "node_modules").symlink_to(modules.absolute(), target_is_directory=True)
    shutil.copy(PAGE / "detect.js", folder)
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["export", weights, "--out", folder / "model.onnx", *request.param]
        patch.setattr(sys, "argv", ["detzoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            run()
    assert not stop.value.code
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("site", "is_portrait", "longest", "min_score", "score_gap", "box_gap"),
    # What fits as it is, and what is resized: as OpenCV does, but for its rounding of weights.
    [
        ([], False, 416, 0.05, 1e-4, 0.01),
        ([], False, 640, 0.3, 0.01, 0.5),
        (["--dynamic"], True, 416, 0.05, 1e-4, 0.01),
        (["--dynamic"], False, 640, 0.3, 0.01, 0.5),
    ],
    ids=["fitting", "resized", "fitting, of any size", "resized, of any size"],
    indirect=["site"],
)
def test_the_same_boxes_as_in_python(
    site: Path,
    tmp_path: Path,
    is_portrait: bool,
    longest: int,
    min_score: float,
    score_gap: float,
    box_gap: float,
) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is here")
    files = sorted(shared("data", "coco_mini", "val2017").glob("*.jpg"))
    pictures: Iterator[Any] = (cv2.imread(str(file)) for file in files)
    picture = next(one for one in pictures if (one.shape[0] > one.shape[1]) == is_portrait)
    scale = longest / max(picture.shape[:2])
    picture = cv2.resize(picture, [round(scale * side) for side in picture.shape[1::-1]])
    # Not as JPEG, which decoders round differently.
    code = base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()
    choose = CHOOSE.replace("PICTURE", code).replace("MIN_SCORE", str(min_score))
    (site / "chosen.html").write_text((PAGE / "index.html").read_text() + choose)
    with serving(site) as (address, sent):
        found = sent_by(chromium, f"{address}/chosen.html", sent, tmp_path)

    (expected,) = load(site / "model.onnx").predict(picture, min_score=min_score)
    assert len(expected) > 5
    assert [one["name"] for one in found["detections"]] == expected.names
    scores = [one["score"] for one in found["detections"]]
    np.testing.assert_allclose(scores, expected.scores, rtol=0, atol=score_gap)
    boxes = [one["box"] for one in found["detections"]]
    np.testing.assert_allclose(boxes, expected.boxes, rtol=0, atol=box_gap)
    sure = [one for one in found["detections"] if one["score"] >= 0.3]
    assert found["status"].startswith(f"{len(sure)} found in ")
    # JavaScript rounds halves up.
    assert found["rows"] == [
        [
            one["name"],
            f"{one['score']:.2f}",
            ", ".join(str(math.floor(side + 0.5)) for side in one["box"]),
        ]
        for one in sure
    ]
