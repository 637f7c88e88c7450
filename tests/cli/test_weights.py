from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detzoo.weights import hosts
from tests.cli.conftest import Run, assert_refused
from tests.weights.server import CONTENT, NAME, Server, refuse, running

FASTER = "faster_rcnn_r50_fpn_1x_coco"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETZOO_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "mine").mkdir()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The only host that is asked."""
    with running() as server:
        monkeypatch.delenv("DETZOO_MIRRORS")
        monkeypatch.setattr(
            "detzoo.weights.places.OPENMMLAB", (hosts.Host(server.address, "a mirror", "a page"),)
        )
        yield server


def test_where(detzoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETZOO_MIRRORS", "https://mine.example/zoo")
    outcome = detzoo("weights", "where", FASTER)
    assert outcome.code == 0, outcome
    file = f"faster_rcnn/{FASTER}/{FASTER}_20200130-047c8118.pth"
    lines = [line.strip() for line in outcome.out.splitlines()]
    start = lines.index(f"1. https://mine.example/zoo/{file}")
    assert lines[start + 1] == "your mirror, from DETZOO_MIRRORS"
    assert lines[start + 2] == f"2. https://mmassets.onedl.ai/mmdetection/v2.0/{file}"
    assert lines[start + 3].startswith("mirror of the maintained fork, OneDL; documented at https")
    assert "torchvision://resnet50" in lines
    assert str(tmp_path / "mine") in lines
    assert "torchvision" not in detzoo("weights", "where", FASTER, "--only", "detector").out


def test_where_without_downloads(detzoo: Run) -> None:
    outcome = detzoo("weights", "where", FASTER)
    assert "nothing would be downloaded: DETZOO_MIRRORS is empty" in outcome.out
    assert "https://" not in outcome.out


def test_where_of_what_is_damaged(detzoo: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "resnet50-0676ba61.pth"
    file.write_bytes(CONTENT)
    outcome = detzoo("weights", "where", "torchvision://resnet50")
    assert outcome.code == 1
    assert f"{file}, DAMAGED: its hash does not match" in outcome.out


def test_where_others_load(detzoo: Run) -> None:
    outcome = detzoo("weights", "where", "timm://resnet50.a1_in1k", "hf://user/repo/best.pt")
    assert outcome.code == 0
    assert "timm loads them from hf://timm/resnet50.a1_in1k" in outcome.out
    assert "not on this machine" in outcome.out


def test_list(detzoo: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "resnet50-0676ba61.pth"
    file.touch()
    rows = json.loads(detzoo("weights", "list", "--json").out)
    by_name = {row["name"]: row for row in rows}
    assert by_name[FASTER] == {
        "name": FASTER,
        "files": [f"{FASTER}_20200130-047c8118.pth"],
        "local": None,
    }
    assert by_name["torchvision://resnet50"]["local"] == str(file)
    outcome = detzoo("weights", "list", "resnet50", "--available")
    assert "torchvision://resnet50 " in outcome.out
    assert "resnet50_caffe" not in outcome.out
    assert_refused(detzoo("weights", "list", "nothing"), "no weights match 'nothing'")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["faster_rcnn_r50_fpn_1x"], f"closest names are {FASTER}"),
        (["torchvision://resnet51"], "closest names are torchvision://resnet50"),
        (["nothing*"], "no weights match 'nothing*'"),
        ([], "name the weights"),
        (["--family", "rcnn"], "--family rcnn: no such family"),
        (["https://a.example/page"], "is not the address of a weight file"),
        (["hf://user"], "is not the address of a file on the Hugging Face Hub"),
        (
            ["retinanet_r50_fpn_90k_coco", "--only", "detector"],
            "no weights were published for these models",
        ),
    ],
)
@pytest.mark.parametrize("command", ["where", "get"])
def test_refused(detzoo: Run, command: str, arguments: list[str], text: str) -> None:
    assert_refused(detzoo("weights", command, *arguments), text)


def test_get(detzoo: Run, tmp_path: Path, mirror: Server) -> None:
    address = f"{mirror.address}/mmdetection/v2.0/family/model/{NAME}"
    outcome = detzoo("weights", "get", address)
    assert outcome.code == 0, outcome
    path = tmp_path / "cache" / "detzoo" / "weights" / NAME
    assert outcome.out == f"{address}  {path}\n"
    assert f"downloaded {NAME} (0.1 MB) from {mirror.address.removeprefix('http://')}" in (
        outcome.error
    )
    assert detzoo("weights", "get", address).code == 0
    assert len(mirror.requests) == 1


def test_get_what_is_not_there(detzoo: Run, mirror: Server) -> None:
    mirror.behaviours = [refuse(404)] * 2
    outcome = detzoo("weights", "get", FASTER, "--only", "detector")
    assert outcome.code == 2
    assert f"error: {FASTER}: no file {FASTER}_20200130-047c8118.pth" in outcome.error
    assert "HTTP 404" in outcome.error
    assert outcome.out == f"1 of 1 not downloaded: {FASTER}\n"


def test_get_a_family(
    detzoo: Run, mirror: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Models may share what they start from; what fails does not keep the rest from arriving."""
    start = f"{mirror.address}/start.pth"
    rows: list[dict[str, Any]] = [
        {"name": name, "family": family, "path": path, "starts_from": start}
        for name, family, path in (
            ("one", "ours", f"ours/one/{NAME}"),
            ("two", "ours", "ours/two/two-00000000.pth"),
            ("three", "ours", None),
            ("four", "others", "others/four.pth"),
        )
    ]
    monkeypatch.setattr("detzoo.cli.weights.read_rows", lambda: rows)
    outcome = detzoo("weights", "get", "--family", "ours")
    assert outcome.code == 1, outcome
    assert outcome.out.splitlines()[-1] == "1 of 3 not downloaded: two"
    asked = [path.rpartition("/")[2] for path, _ in mirror.requests]
    assert asked == [NAME, "start.pth", *["two-00000000.pth"] * 2]
    assert detzoo("weights", "get", "o*", "--only", "detector").code == 0
