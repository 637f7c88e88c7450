"""The web service under load, on the loopback."""

from __future__ import annotations

import json
import runpy
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn

from detzoo.inference.predictor import Predictor
from detzoo.quickstart.scenes import CLASSES, write_scenes
from tests.cli.conftest import FIT
from tests.tiny import tiny_retinanet

SERVICE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "service.py"))
MIN_SCORE = 0.05
NUM_CLIENTS, NUM_REQUESTS = 16, 200


class Counting(Predictor):
    """Knows how many pictures it was given at a time."""

    batches: tuple[int, ...] = ()

    def predict(self, inputs: Any, **options: Any) -> Iterator[Any]:
        self.batches += (len(inputs),)
        return super().predict(inputs, **options)


@pytest.fixture(scope="module")
def predictor() -> Counting:
    experiment = tiny_retinanet(CLASSES, FIT)
    torch.manual_seed(0)
    model = experiment.build_model()
    for name in ("retina_cls.weight", "retina_cls.bias"):  # a fresh head is sure of nothing
        torch.nn.init.normal_(model.get_parameter(f"bbox_head.{name}"))
    return Counting(experiment, model)


@pytest.fixture(scope="module")
def address(predictor: Counting) -> Iterator[str]:
    app = SERVICE["create_app"](predictor, batch_size=8, min_score=MIN_SCORE)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    (port,) = {s.getsockname()[1] for one in server.servers for s in one.sockets}
    yield f"http://127.0.0.1:{port}/detect"
    server.should_exit = True
    thread.join()


def ask(address: str, content: bytes) -> Any:
    request = urllib.request.Request(address, data=content)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["detections"]


def test_many_clients(address: str, predictor: Counting, tmp_path: Path) -> None:
    """Everybody gets the answer to the own picture, and they share batches."""
    write_scenes(tmp_path, "val", 8, size=64, seed=0)
    files = sorted((tmp_path / "val").glob("*.png"))
    contents = [file.read_bytes() for file in files]
    serial = [ask(address, content) for content in contents]
    assert all(serial)
    assert any(one != serial[0] for one in serial)
    assert set(predictor.batches) == {1}
    chosen = [number % len(contents) for number in range(NUM_REQUESTS)]
    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        answers = list(pool.map(lambda number: ask(address, contents[number]), chosen))
    for number, found in zip(chosen, answers):
        wanted = serial[number]
        assert [one["class"] for one in found] == [one["class"] for one in wanted]
        scores = [one["score"] for one in wanted]
        assert [one["score"] for one in found] == pytest.approx(scores, abs=1e-4)
        for own, other in zip(found, wanted):
            assert own["box"] == pytest.approx(other["box"], abs=0.1)
    assert max(predictor.batches) > 1
    assert sum(predictor.batches) == len(files) + NUM_REQUESTS


def test_what_is_no_picture(address: str, predictor: Counting) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(address, b"hello")
    assert refused.value.code == 400
    refused.value.close()


def test_an_error_is_not_the_end(
    address: str, predictor: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(tmp_path, "val", 1, size=64, seed=0)
    (file,) = (tmp_path / "val").glob("*.png")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(predictor, "predict", fail)
    with pytest.raises(urllib.error.HTTPError) as failed:
        ask(address, file.read_bytes())
    assert failed.value.code == 500
    failed.value.close()
    monkeypatch.undo()
    assert ask(address, file.read_bytes())
