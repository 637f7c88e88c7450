from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from detzoo.errors import CheckpointError, ConfigError
from detzoo.weights.hub import cached_hub_file, repository_of
from detzoo.weights.locate import local_file
from tests.weights.hub_server import COMMIT, FakeHub, running_hub
from tests.weights.server import CONTENT

pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.delenv("DETZOO_MIRRORS")
    with running_hub(tmp_path / "hub") as hub:
        hub.files["user/repo"] = {"best.pt": CONTENT, "folder/other.pt": CONTENT}
        yield hub


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("hf://user/repo/best.pt", "/user/repo/resolve/main/best.pt"),
        ("hf://user/repo/folder/other.pt", "/user/repo/resolve/main/folder/other.pt"),
        ("hf://user/repo@v2/best.pt", "/user/repo/resolve/v2/best.pt"),
    ],
)
def test_a_file(hub: FakeHub, address: str, asked: str) -> None:
    assert cached_hub_file(address) is None
    assert local_file(address).read_bytes() == CONTENT
    assert f"HEAD {asked}" in hub.requests
    assert cached_hub_file(address) == local_file(address)
    assert COMMIT in str(local_file(address))


def test_without_downloads_what_is_there_is_taken(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "hf://user/repo/best.pt"
    path = local_file(address)
    count = len(hub.requests)
    monkeypatch.setenv("DETZOO_MIRRORS", "")
    assert local_file(address) == path
    with pytest.raises(CheckpointError, match="not available from the Hugging Face Hub"):
        local_file("hf://user/repo/folder/other.pt")
    assert len(hub.requests) == count


@pytest.mark.parametrize("address", ["hf://user/repo/none.pt", "hf://nobody/repo/best.pt"])
def test_what_is_not_there(hub: FakeHub, address: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^{address}: not available .*\(404|Not Found"):
        local_file(address)


@pytest.mark.parametrize(
    "address", ["hf://user", "hf://user/repo", "hf://user/repo@v2", "hf:///a/b"]
)
def test_addresses_without_a_file(address: str) -> None:
    with pytest.raises(CheckpointError, match="Write hf://user/repo/file"):
        local_file(address)


def test_repositories() -> None:
    assert repository_of("hf://user/repo") == "user/repo"
    for address in ("user/repo", "hf://user", "hf://user/repo/file", "https://user/repo"):
        with pytest.raises(ConfigError, match="Write hf://user/repo"):
            repository_of(address)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install huggingface_hub"):
        local_file("hf://user/repo/best.pt")
