from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from detzoo.errors import DataError
from detzoo.inference import inputs
from detzoo.inference.inputs import is_picture_address, read_inputs
from detzoo.weights import download
from tests.weights import server as behave
from tests.weights.server import Handler, Server, running

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PNG = cv2.imencode(".png", IMAGE)[1].tobytes()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("DETZOO_MIRRORS", raising=False)
    with running() as server:
        yield server


def png(handler: Handler) -> None:
    behave.serve(handler, PNG)


def cut(handler: Handler) -> None:
    """Announces the whole image and sends a part of it."""
    handler.start(200, len(PNG))
    handler.wfile.write(PNG[:50])


def test_an_image_on_the_web(server: Server) -> None:
    """It is named by its address; what is interrupted is tried again."""
    server.behaviours = [png, behave.refuse(503), cut, png]
    addresses = [f"{server.address}/street.png?size=2", f"{server.address}/7"]
    found = list(read_inputs(addresses))
    assert [name for name, _ in found] == addresses
    assert all(np.array_equal(image, IMAGE) for _, image in found)
    assert [path for path, _ in server.requests] == ["/street.png?size=2", "/7", "/7", "/7"]
    assert server.requests[-1][1] == "bytes=50-"


def test_what_cannot_be_had_is_said_in_a_sentence(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{server.address}/street.png"
    monkeypatch.setattr(inputs, "MOST_BYTES", len(PNG) - 1)
    cases = [
        (behave.refuse(404), r"street\.png: cannot be downloaded \(HTTP 404 Not Found\)\. Check"),
        (behave.page, "cannot be decoded as an image"),
        (png, rf"announced {len(PNG)} bytes, and {len(PNG) - 1} are the most"),
        (behave.lie(b"HTTP/1.1 200 OK", body=PNG), r"stopped after \d+ bytes \(\d+ bytes are the"),
        (behave.empty, "cannot be decoded as an image"),
        (behave.lie(b"nonsense"), r"cannot be downloaded \("),
    ]
    for behaviour, message in cases:
        server.behaviours = [behaviour] * 2 * download.TRIES
        with pytest.raises(DataError, match=message):
            list(read_inputs(address))
        errors: list[DataError] = []
        assert len(list(read_inputs([address, PNG], on_error=errors.append))) == 1
        assert len(errors) == 1
    monkeypatch.setenv("DETZOO_MIRRORS", "")
    with pytest.raises(DataError, match="downloads are turned off"):
        list(read_inputs(address))
    with pytest.raises(DataError, match="cannot be downloaded"):
        list(read_inputs("http://nowhere.invalid:9/a.png"))


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("https://example.org/a/street.JPG?x=1#top", True),
        ("HTTP://example.org/a.png", True),
        ("https://example.org/film.mp4", False),
        ("https://example.org/watch?name=a.jpg", False),
        ("rtsp://camera/a.jpg", False),
        ("a.jpg", False),
    ],
)
def test_addresses_that_end_like_images(address: str, wanted: bool) -> None:
    assert is_picture_address(address) == wanted
