from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.errors import CheckpointError, ConfigError
from detzoo.weights.locate import find_published_file
from detzoo.weights.places import Published, weight_directories
from tests.weights.server import CONTENT, NAME, refuse, running


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETZOO_WEIGHTS", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")


def find(file: Published) -> Path:
    return find_published_file(file, "model x", "train it")


def test_places_are_tried_in_order(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "detzoo" / "weights"
    torch = tmp_path / "torch" / "hub" / "checkpoints"
    assert weight_directories() == [tmp_path / "a", tmp_path / "b", cache, torch]
    file = Published("family/model/x.pth")
    with pytest.raises(CheckpointError) as error:
        find(file)
    for text in ("model x: no file x.pth", *map(str, weight_directories()), "train it"):
        assert text in str(error.value)
    for place in (torch, cache, tmp_path / "b", tmp_path / "a"):
        place.mkdir(parents=True)
        (place / "x.pth").touch()
        assert find(file) == place / "x.pth"


def test_a_folder_may_be_laid_out_as_published(tmp_path: Path) -> None:
    inner = tmp_path / "b" / "family" / "model"
    inner.mkdir(parents=True)
    (inner / "x.pth").touch()
    assert find(Published("family/model/x.pth")) == inner / "x.pth"


def test_mirrors_come_before_the_published_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as one, running() as two, running() as publisher:
        monkeypatch.setenv("DETZOO_MIRRORS", f"{one.address}/v2.0/ {two.address}")
        file = Published(f"some family/{NAME}", (f"{publisher.address}/{NAME}",))
        one.behaviours = [refuse(404)]
        two.behaviours = [refuse(410)]
        publisher.behaviours = [refuse(404)]
        with pytest.raises(CheckpointError) as error:
            find(file)
        assert "HTTP 404" in str(error.value)
        assert "HTTP 410" in str(error.value)
        assert "\n\n" not in str(error.value)
        assert [server.requests[0][0] for server in (one, two, publisher)] == [
            f"/v2.0/some%20family/{NAME}",
            f"/some%20family/{NAME}",
            f"/{NAME}",
        ]
        one.behaviours = [refuse(404)]
        path = find(file)
        assert path == tmp_path / "cache" / "detzoo" / "weights" / NAME
        assert path.read_bytes() == CONTENT
        assert len(publisher.requests) == 1
        # Found in the cache from now on.
        count = len(two.requests)
        assert find(file) == path
        assert len(two.requests) == count


def test_without_mirrors_the_publisher_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as publisher:
        file = Published(NAME, (f"{publisher.address}/{NAME}",))
        monkeypatch.setenv("DETZOO_MIRRORS", " ")
        with pytest.raises(CheckpointError):
            find(file)
        assert not publisher.requests
        monkeypatch.delenv("DETZOO_MIRRORS")
        assert find(file).read_bytes() == CONTENT


@pytest.mark.parametrize("root", ["/mnt/weights", "ftp://host/x", "file:///etc"])
def test_a_mirror_is_a_web_address(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.setenv("DETZOO_MIRRORS", f"https://a.example {root}")
    with pytest.raises(ConfigError, match=f"DETZOO_MIRRORS: '{root}' is not an http"):
        find(Published("x.pth"))
