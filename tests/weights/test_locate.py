from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.errors import CheckpointError, ConfigError
from detzoo.weights import hosts
from detzoo.weights.locate import find_published_file, local_file
from detzoo.weights.places import Published, file_at, weight_directories, zoo_file
from tests.weights.server import CONTENT, NAME, refuse, running

HASHED = "x-0123abcd.pth"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETZOO_WEIGHTS", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")


def find(*files: Published) -> Path:
    return find_published_file(files, "model x", "train it")


def test_places_are_tried_in_order(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "detzoo" / "weights"
    torch = tmp_path / "torch" / "hub" / "checkpoints"
    assert weight_directories() == [tmp_path / "a", tmp_path / "b", cache, torch]
    file = Published(f"family/model/{HASHED}")
    with pytest.raises(CheckpointError) as error:
        find(file)
    for text in (f"model x: no file {HASHED}", *map(str, weight_directories()), "train it"):
        assert text in str(error.value)
    for place in (torch, cache, tmp_path / "b", tmp_path / "a"):
        place.mkdir(parents=True)
        (place / HASHED).touch()
        assert find(file) == place / HASHED


def test_a_name_without_a_hash_is_none(tmp_path: Path) -> None:
    """Several projects have an R-50.pkl."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "R-50.pkl").touch()
    file = Published("detectron2/MSRA/R-50.pkl")
    with pytest.raises(CheckpointError, match=r"no file detectron2/MSRA/R-50\.pkl in any"):
        find(file)
    inner = tmp_path / "a" / "detectron2" / "MSRA"
    inner.mkdir(parents=True)
    (inner / "R-50.pkl").touch()
    assert find(file) == inner / "R-50.pkl"


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


def test_files_of_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirrors are asked for each of them before the publishers are; any that is there will do."""
    with running() as mirror, running() as one, running() as two:
        monkeypatch.setenv("DETZOO_MIRRORS", mirror.address)
        original = Published("project/original.pth", (f"{one.address}/original.pth",))
        converted = Published(f"folder/{NAME}", (f"{two.address}/{NAME}",))
        mirror.behaviours = [refuse(404)] * 2
        one.behaviours = [refuse(404)]
        path = find(original, converted)
        assert path == tmp_path / "cache" / "detzoo" / "weights" / NAME
        asked = [request[0] for server in (mirror, one, two) for request in server.requests]
        assert asked == ["/project/original.pth", f"/folder/{NAME}", "/original.pth", f"/{NAME}"]
        assert find(original, converted) == path
        assert find(original) != path


def test_hosts_of_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the maintained mirror, then below the hosts of the past, at the same path."""
    path = "resnest/a+b/a+b-0123abcd.pth"
    file = zoo_file(path)
    assert file.path == path
    assert file.addresses[0] == (
        "https://mmassets.onedl.ai/mmdetection/v2.0/resnest/a%2Bb/a%2Bb-0123abcd.pth"
    )
    assert [hosts.host_of(address) for address in file.addresses] == list(hosts.OPENMMLAB)
    assert all(host.documented.startswith("https://github.com/") for host in hosts.OPENMMLAB)
    with running() as mirror, running() as past:
        servers = tuple(hosts.Host(s.address, "a server", "") for s in (mirror, past))
        monkeypatch.setattr("detzoo.weights.places.OPENMMLAB", servers)
        monkeypatch.delenv("DETZOO_MIRRORS")
        mirror.behaviours = [refuse(404)]
        assert find(zoo_file(f"retinanet/{NAME}")).read_bytes() == CONTENT
        for server in (mirror, past):
            assert server.requests == [(f"/mmdetection/v2.0/retinanet/{NAME}", None)]


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("http://download.openmmlab.com/mmdetection/v2.0/atss/a/a.pth", "atss/a/a.pth"),
        ("https://download.openmmlab.com/pretrain/third_party/b.pth", "third_party/b.pth"),
        ("https://mmassets.onedl.ai/mmdetection/v2.0/c%2B/c.pth", "c+/c.pth"),
        ("https://a.example:81/b/c.pth?download=1#x", "a.example:81/b/c.pth"),
        ("https://a.example/../../%2e%2e/c.pth", "c.pth"),
        ("https://../c.pth", "c.pth"),
        ("https:////etc/c.pth", "etc/c.pth"),
    ],
)  # fmt: skip
def test_the_file_at_an_address(address: str, path: str) -> None:
    """OpenMMLab's files are asked of all their hosts; no path leaves the cache."""
    file = file_at(address)
    assert file.path == path
    is_openmmlab = any(host.path_of(address) for host in hosts.OPENMMLAB)
    assert len(file.addresses) == (len(hosts.OPENMMLAB) if is_openmmlab else 1)


@pytest.mark.parametrize(
    "address",
    ["https://a.example/", "https://a.example/page.html", "http://", "https://a/%00.pth",
     "https://download.openmmlab.com/", "https://a/%0a.pth"],
)  # fmt: skip
def test_addresses_of_no_weights(address: str) -> None:
    with pytest.raises(CheckpointError, match="is not the address of a weight file"):
        file_at(address)


def test_an_address_in_place_of_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        address = f"{server.address}/models/best.pth"
        with pytest.raises(CheckpointError, match=f"{address}: no file 127.0.0.1"):
            local_file(address)
        assert not server.requests  # DETZOO_MIRRORS is empty
        monkeypatch.delenv("DETZOO_MIRRORS")
        path = local_file(address)
        assert path.read_bytes() == CONTENT
        assert path == local_file(address)
        assert len(server.requests) == 1
    assert local_file("some/path.pth") == Path("some/path.pth")
    assert local_file(tmp_path) == tmp_path


def test_a_host_that_does_not_answer_is_asked_once_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        nobody = "http://127.0.0.1:9"
        monkeypatch.delenv("DETZOO_MIRRORS")
        monkeypatch.setattr("detzoo.weights.download.PAUSE", 0.001)
        unreachable: set[str] = set()
        for name in (NAME, f"other-{NAME}"):
            file = Published(name, (f"{nobody}/{name}", f"{server.address}/{name}"))
            find_published_file((file,), "model x", "train it", unreachable)
            assert unreachable == {"127.0.0.1:9"}
        missing = Published("x.pth", (f"{nobody}/x.pth",))
        with pytest.raises(
            CheckpointError, match="skipped, since its host did not respond earlier"
        ):
            find_published_file((missing,), "model x", "train it", unreachable)
