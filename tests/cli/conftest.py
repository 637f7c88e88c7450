"""A small data set, a tiny model for it, and the command line as a user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.cli.main import run as run_command_line
from detzoo.config import to_dict
from detzoo.data.transforms import Pad, Resize
from detzoo.experiment import Experiment
from detzoo.quickstart.scenes import CLASSES, write_scenes
from tests.tiny import tiny_mask_rcnn, tiny_retinanet

FIT = (Resize(sizes=((64, 64),)), Pad(divisor=32))


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    error: str


Run = Callable[..., Outcome]


@pytest.fixture
def detzoo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Runs ``detzoo ARGUMENTS`` in an empty folder of its own.

    Training writes its report, which takes a second, only where ``--report`` asks for it.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    torch.set_num_threads(1)

    def run(*arguments: object) -> Outcome:
        if arguments[:1] == ("train",) and not {"--report", "--help"} & set(arguments):
            arguments = (*arguments, "--no-report")
        monkeypatch.setattr(sys, "argv", ["detzoo", *map(str, arguments)])
        code = 0
        try:
            run_command_line()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder: 8 scenes to train on, 4 to evaluate on, 64 pixels wide."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, "train", 8, size=64, seed=1)
    write_scenes(folder, "val", 4, size=64, seed=2)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ``experiment.json`` that trains in a second."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.json"
    path.write_text(json.dumps(to_dict(tiny_retinanet(CLASSES, FIT))))
    return path


def write_checkpoint(path: Path, experiment: Experiment) -> Path:
    torch.manual_seed(0)
    save(path, Checkpoint(experiment, experiment.build_model().state_dict()))
    return path


@pytest.fixture(scope="session")
def retinanet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint for the classes of the scenes."""
    path = tmp_path_factory.mktemp("retinanet") / "best.pt"
    return write_checkpoint(path, tiny_retinanet(CLASSES, FIT))


@pytest.fixture(scope="session")
def mask_rcnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mask_rcnn") / "best.pt"
    return write_checkpoint(path, tiny_mask_rcnn(CLASSES, FIT))


def assert_refused(outcome: Outcome, *texts: str) -> None:
    """Exit code 2 and one paragraph that says all of ``texts``, without a traceback."""
    assert outcome.code == 2, outcome
    assert outcome.error.startswith("error: "), outcome
    assert "Traceback" not in outcome.error
    assert "\n\n" not in outcome.error.strip()
    for text in texts:
        assert text in outcome.error, outcome.error
