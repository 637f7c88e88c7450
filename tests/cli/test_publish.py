from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from detzoo.checkpoints.checkpoint import read
from tests.cli.conftest import Run, assert_refused
from tests.shared import shared
from tests.weights.hub_server import FakeHub, running_hub

AVERAGE = 'ema={"type": "EMAConfig", "momentum": 0.1, "warmup": 4}'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("DETZOO_MIRRORS")
    with running_hub(tmp_path / "hub", token="hf_secret") as hub:
        yield hub


def published(folder: Path) -> Path:
    (path,) = folder.glob("*.pt")
    return path


def test_a_run(detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path) -> None:
    """The published checkpoint scores as the run's best, which its card says."""
    run = tmp_path / "runs" / "my run"
    trained = detzoo(
        "train", tiny, "--data", scenes, "--out", run, "--epochs", 1, "--set", AVERAGE,
        "--device", "cpu",
    )  # fmt: skip
    assert trained.code == 0, trained
    outcome = detzoo("publish", run, "-o", "out", "--license", "mit")
    assert outcome.code == 0, outcome
    path = published(tmp_path / "out")
    assert path.name.startswith("my-run-")
    assert read(path).training is None
    scores = []
    for file in (run / "best.pt", path):
        measured = detzoo("test", file, "--data", scenes, "--json", "m.json", "--device", "cpu")
        assert measured.code == 0, measured
        scores.append(json.loads(Path("m.json").read_text())["metrics"])
    assert scores[0] == scores[1]
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| bbox/AP | {scores[0]['bbox/AP']:.4f} |" in card
    assert f"| data | {scenes.name}, train |" in card
    assert str(tmp_path) not in card
    assert "averaged over the training (EMA)" in card


def test_a_checkpoint(detzoo: Run, retinanet: Path, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"metrics": {"bbox/AP": 0.5, "bbox/APs": None}}))
    outcome = detzoo("publish", retinanet, "-o", "out", "--name", "mine", "--metrics", "m.json")
    assert outcome.code == 0, outcome
    assert published(tmp_path / "out").name.startswith("mine-")
    assert "please complete: license (--license), training data" in outcome.out
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| bbox/AP | 0.5000 |" in card
    assert "APs" not in card


def test_one_of_mmdetection(detzoo: Run, tmp_path: Path) -> None:
    source = shared("weights", "yolox_nano_8x8_300e_coco.pth")
    outcome = detzoo("publish", source, "-o", "out")
    assert outcome.code == 0, outcome
    path = published(tmp_path / "out")
    assert path.name.startswith("yolox_nano_8x8_300e_coco-")
    assert read(path).class_names == read(source).class_names


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["none.pt", "-o", "out"], "none.pt: no such file"),
        (["empty", "-o", "out"], "empty: has neither best.pt nor last.pt"),
        (["FILE", "-o", "taken"], "--out taken: already has a README.md"),
        (["FILE", "-o", "out", "--name", "a/b"], "--name a/b: use letters"),
        (["FILE", "-o", "out", "--private"], "--private: works only with --to"),
        (["FILE", "-o", "out", "--to", "me/mine"], "me/mine: is not a repository"),
        (["FILE", "-o", "out", "--metrics", "m.json"], "was not written by `detzoo test --json`"),
        (["FILE", "-o", "out", "--metrics", "n.json"], "n.json: no such file"),
    ],
)
def test_refused(
    detzoo: Run, retinanet: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "README.md").touch()
    (tmp_path / "m.json").write_text('{"metrics": {"bbox/AP": "high"}}')
    arguments = [str(retinanet) if argument == "FILE" else argument for argument in arguments]
    assert_refused(detzoo("publish", *arguments), text)
    assert not (tmp_path / "out").exists()


def test_upload(detzoo: Run, hub: FakeHub, retinanet: Path, scenes: Path, tmp_path: Path) -> None:
    """What was uploaded opens by its address, wherever a checkpoint is accepted."""
    outcome = detzoo("publish", retinanet, "-o", "out", "--to", "hf://me/mine", "--private")
    assert outcome.code == 0, outcome
    path = published(tmp_path / "out")
    assert hub.files == {
        "me/mine": {
            path.name: path.read_bytes(),
            "README.md": (tmp_path / "out" / "README.md").read_bytes(),
        }
    }
    assert hub.private == {"me/mine": True}
    address = f"hf://me/mine/{path.name}"
    assert outcome.out.splitlines()[-1] == f"uploaded to {hub.address}/me/mine: {address}"
    assert f"detzoo predict {address}" in hub.files["me/mine"]["README.md"].decode()
    pictures = scenes / "val"
    for command in (
        ["checkpoint", address],
        ["config", address],
        ["predict", address, pictures, "--device", "cpu"],
        ["test", address, "--data", scenes, "--device", "cpu"],
        ["publish", address, "-o", "again"],
        ["train", address, "--weights", address, "--data", scenes, "--epochs", 1, "--out", "run"],
    ):
        done = detzoo(*command)
        assert done.code == 0, done
    assert json.loads(Path("run/run.json").read_text())["options"]["weights"] == address


def test_an_upload_that_fails(detzoo: Run, hub: FakeHub, retinanet: Path, tmp_path: Path) -> None:
    """The files are there all the same."""
    hub.refuses_commits = True
    outcome = detzoo("publish", retinanet, "-o", "out", "--to", "hf://me/mine")
    assert outcome.code == 1, outcome
    assert "upload to hf://me/mine failed (" in outcome.out
    assert "hf upload me/mine out" in outcome.out
    assert published(tmp_path / "out").is_file()


def test_an_upload_by_nobody(
    detzoo: Run, hub: FakeHub, retinanet: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    outcome = detzoo("publish", retinanet, "-o", "out", "--to", "hf://me/mine")
    assert_refused(outcome, "you are not logged in")
    assert not (tmp_path / "out").exists()
