"""``detzoo train`` from its start to its end: what it keeps, what it goes on with, what it says."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from detzoo.checkpoints import checkpoint
from detzoo.quickstart.scenes import CLASSES
from detzoo.train.callbacks.named import LOGGERS
from tests.cli.conftest import Outcome, Run, assert_refused

FAST = ("--batch-size", 4, "--workers", 0, "--device", "cpu")


def records(run: str, kind: str = "train") -> list[dict[str, Any]]:
    lines = Path(run, "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def write_callback(body: str) -> None:
    """``mine.py`` in the current folder, whose class Mine has ``body`` for its methods."""
    Path("mine.py").write_text(
        "import os, signal, torch\nfrom detzoo.train.callbacks import Callback\n"
        f"class Mine(Callback):\n{body}"
    )


@pytest.fixture(autouse=True)
def own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a ``mine`` of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)


# --------------------------------------------------------------------------------- going on


def test_resuming_needs_the_folder_alone(
    detzoo: Run, tiny: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, data and options are as they were; from any folder."""
    outcome = detzoo(
        "train", tiny, "--data", scenes, "--out", "run", *FAST, "--epochs", 2, "--no-lr-scaling",
        "--set", "optimizer.lr=0.001", "--seed", 3, "--early-stopping", 9,
    )  # fmt: skip
    assert outcome.code == 0, outcome
    before = json.loads(Path("run/experiment.json").read_text())
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    outcome = detzoo("train", "--resume", "--out", "../run", "--epochs", 3)
    assert outcome.code == 0, outcome
    assert "resuming with a changed option: --epochs 2 -> 3" in outcome.out
    assert "resuming after step 4 of 6" in outcome.out
    after = json.loads(Path("../run/experiment.json").read_text())
    assert after["schedule"].pop("length") == 3
    assert before["schedule"].pop("length") == 2
    assert after["schedule"].pop("policy") != before["schedule"].pop("policy")
    assert after == before
    written = checkpoint.read("../run/last.pt").training
    assert written is not None
    assert written["position"]["lr_scale"] == 1
    kept = json.loads(Path("../run/run.json").read_text())
    assert kept["options"]["epochs"] == 3
    assert kept["options"]["data"] == [str(scenes)]
    assert kept["options"]["early_stopping"] == "9"
    assert kept["versions"].keys() == {"detzoo", "torch", "torchvision", "numpy", "Python"}


def test_the_whole_command_again_changes_nothing(detzoo: Run, tiny: Path, scenes: Path) -> None:
    """Even where one option bends what another one says."""
    command = (
        "train", tiny, "--data", scenes, "--out", "run", *FAST, "--epochs", 2,
        "--set", "schedule.policy.milestones=(6,)",
    )  # fmt: skip
    assert detzoo(*command).code == 0
    before = Path("run/experiment.json").read_text()
    outcome = detzoo(*command, "--resume")
    assert outcome.code == 0, outcome
    assert "resuming with" not in outcome.out
    assert Path("run/experiment.json").read_text() == before


def test_options_given_again_take_effect(detzoo: Run, tiny: Path, scenes: Path) -> None:
    base = ("train", tiny, "--data", scenes, "--out", "run", *FAST, "--epochs", 1)
    assert detzoo(*base, "--no-lr-scaling").code == 0
    outcome = detzoo(
        "train", "--resume", "--out", "run", "--epochs", 2, "--lr-scaling",
        "--set", "optimizer.lr=0.002",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    for said in (
        "resuming with a changed option: --lr-scaling False -> True",
        "resuming with a changed setting: optimizer.lr 0.02 -> 0.002",
        "resuming with a changed setting: learning-rate scaling 1.0 -> 0.25",
    ):
        assert said in outcome.out
    kept = json.loads(Path("run/run.json").read_text())["options"]
    assert kept["settings"] == ["optimizer.lr=0.002"]


def test_loggers_of_a_resumed_run(
    detzoo: Run, tiny: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot start is not kept, and those that are kept can be dropped."""
    monkeypatch.syspath_prepend(".")
    monkeypatch.setitem(LOGGERS, "wandb", "mine:Mine")
    write_callback(
        "    def on_start(self, trainer):\n"
        "        if os.path.exists('refuse'):\n"
        "            with refusals_of('wandb', OSError):\n"
        "                raise OSError('No API key.')\n"
        "        trainer.say('it logs')\n"
        "from detzoo.train.callbacks.extras import refusals_of\n"
    )
    resume = ("train", "--resume", "--out", "run")
    assert detzoo("train", tiny, "--data", scenes, "--out", "run", *FAST, "--epochs", 1).code == 0
    Path("refuse").touch()
    assert_refused(
        detzoo(*resume, "--epochs", 2, "--logger", "wandb"), "No API key. Fix this", "--logger none"
    )
    assert "it logs" not in detzoo(*resume, "--epochs", 2).out
    Path("refuse").unlink()
    assert "it logs" in detzoo(*resume, "--epochs", 3, "--logger", "wandb").out
    assert "it logs" in detzoo(*resume, "--epochs", 4).out
    outcome = detzoo(*resume, "--epochs", 5, "--logger", "none")
    assert outcome.code == 0, outcome
    assert "it logs" not in outcome.out
    assert "it logs" not in detzoo(*resume, "--epochs", 6).out


def test_other_versions_are_said(detzoo: Run, tiny: Path, scenes: Path) -> None:
    assert detzoo("train", tiny, "--data", scenes, "--out", "run", *FAST, "--epochs", 1).code == 0
    file = Path("run/run.json")
    kept = json.loads(file.read_text())
    kept["versions"]["torch"] = "2.6.0"
    file.write_text(json.dumps(kept))
    outcome = detzoo("train", "--resume", "--out", "run")
    assert outcome.code == 0, outcome
    assert "resuming with a changed version: torch 2.6.0 -> " in outcome.out


def test_what_cannot_be_resumed(detzoo: Run, tiny: Path, scenes: Path) -> None:
    assert_refused(detzoo("train"), "NAME: give a model")
    assert_refused(detzoo("train", tiny), "--data")
    assert_refused(detzoo("train", "--resume"), "--resume: give the run folder with --out")
    assert detzoo("train", tiny, "--data", scenes, "--out", "run", *FAST, "--epochs", 1).code == 0
    before = Path("run/last.pt").read_bytes()
    other = detzoo("train", "fcos_r50_caffe_fpn_gn-head_1x_coco", "--resume", "--out", "run")
    assert_refused(other, "fcos_r50", f"trains {tiny}", "Omit the name")
    Path("run/run.json").write_text("{")
    assert_refused(detzoo("train", "--resume", "--out", "run"), "run.json", "full command")
    Path("run/run.json").unlink()
    assert_refused(detzoo("train", "--resume", "--out", "run"), "run.json", "full command")
    assert Path("run/last.pt").read_bytes() == before


# ------------------------------------------------------------------------------- stopping


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_and_on_by_what_is_printed(
    detzoo: Run, tiny: Path, scenes: Path, name: str
) -> None:
    write_callback(
        "    def on_step(self, trainer):\n"
        f"        if trainer.position.iteration == 1: os.kill(os.getpid(), signal.{name})\n"
    )
    options = ("--epochs", 2, "--callback", "mine:Mine")
    outcome = detzoo("train", tiny, "--data", scenes, "--out", "my run", *FAST, *options)
    assert outcome.code == 128 + signal.Signals[name], outcome
    assert "stopped after step 2 of 4" in outcome.out
    (line,) = (line for line in outcome.out.splitlines() if line.startswith("resume with: "))
    assert line == "resume with: detzoo train --resume --out 'my run'"
    outcome = detzoo(*shlex.split(line)[3:])
    assert outcome.code == 0, outcome
    assert [record["iteration"] for record in records("my run", "val")] == [2, 4]


def test_a_loss_that_ran_away_is_not_done(detzoo: Run, tiny: Path, scenes: Path) -> None:
    write_callback(
        "    def on_losses(self, trainer, images, targets):\n"
        "        return {'loss_huge': torch.tensor(2e14 if trainer.position.iteration else 0)}\n"
    )
    options = ("--epochs", 2, "--callback", "mine:Mine")
    base = ("train", tiny, "--data", scenes, "--out", "run", *FAST, *options)
    outcome = detzoo(*base)
    assert outcome.code == 1, outcome
    assert "finished, but the loss ended at 2e+14" in outcome.out
    assert "done:" not in outcome.out
    assert detzoo("train", "--resume", "--out", "run").code == 1


# ------------------------------------------------------------------------------ the end of it


def printed(outcome: Outcome, command: str) -> list[str]:
    """The arguments of the ``detzoo COMMAND`` that a run advises."""
    (line,) = (line for line in outcome.out.splitlines() if line.startswith(f"  detzoo {command}"))
    return shlex.split(line)[1:]


def as_files(scenes: Path) -> tuple[object, ...]:
    return (
        "--data", scenes / "annotations" / "train.json", "--images", scenes / "train",
        "--val", scenes / "annotations" / "val.json", "--val-images", scenes / "val",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["files", "another split", "no val split"])
def test_the_printed_test_repeats_the_evaluation(
    detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path, kind: str
) -> None:
    where: tuple[object, ...] = as_files(scenes)
    if kind == "another split":
        where = ("--data", scenes, "--val", scenes, "--val-split", "train")
    if kind == "no val split":
        where = ("--data", scenes, "--val", tmp_path / "my test")
        (tmp_path / "my test" / "annotations").mkdir(parents=True)
        (tmp_path / "my test" / "test").symlink_to(scenes / "val")
        file = tmp_path / "my test" / "annotations" / "test.json"
        file.write_text((scenes / "annotations" / "val.json").read_text())
    options = ("--epochs", 1, "--set", "model.bbox_head.select.min_score=0.0", "--no-fuse")
    trained = detzoo("train", tiny, *where, "--out", "run", *FAST, *options)
    assert trained.code == 0, trained
    tested = detzoo(*printed(trained, "test"), "--json", "metrics.json", "--workers", 0)
    assert tested.code == 0, tested
    (logged,) = records("run", "val")
    metrics = json.loads(Path("metrics.json").read_text())["metrics"]
    assert {name: logged[name] for name in metrics} == metrics
    assert metrics["bbox/AR100"] > 0


def test_nothing_was_evaluated_so_no_test_is_advised(detzoo: Run, tiny: Path, scenes: Path) -> None:
    file, images = scenes / "annotations" / "train.json", scenes / "train"
    outcome = detzoo(
        "train", tiny, *FAST, "--epochs", 1, "--out", "run", "--data", file, "--images", images
    )
    assert outcome.code == 0, outcome
    assert "detzoo test" not in outcome.out
    assert printed(outcome, "predict")[:2] == ["predict", "run/last.pt"]


def edited(scenes: Path, folder: Path, **changes: Any) -> Path:
    """The scenes with ``train`` and ``val`` annotations edited: a value for a key of each object,
    or a function of it."""
    (folder / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (folder / split).symlink_to(scenes / split)
        content = json.loads((scenes / "annotations" / f"{split}.json").read_text())
        for item in content["annotations"]:
            item |= {k: v(item) if callable(v) else v for k, v in changes.items()}
        if not changes:
            content["annotations"] = []
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return folder


def test_validation_data_without_objects(
    detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path
) -> None:
    """No evaluation is the best one; the last weights are what there is."""
    empty = edited(scenes, tmp_path / "empty")
    base = ("train", tiny, "--data", scenes, "--val", empty, *FAST, "--epochs", 2)
    outcome = detzoo(*base, "--out", "run")
    assert outcome.code == 0, outcome
    assert "bbox/AP is undefined on" in outcome.out
    assert "evaluation: bbox/AP -  " in outcome.out
    assert "(best bbox/AP -)" in outcome.out
    assert "nan" not in outcome.out
    assert "done: run/last.pt" in outcome.out
    assert not Path("run/best.pt").exists()
    outcome = detzoo(*base, "--out", "other", "--early-stopping", 2)
    assert_refused(outcome, "early_stopping", "bbox/AP is undefined")
    assert not Path("other").exists()


# ------------------------------------------------------------------------- nothing to learn


UNLEARNABLE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "crowds": ({"iscrowd": 1}, ("objects ignored in training: crowds (iscrowd)",)),
    "difficult": ({"ignore": 1}, ("objects ignored in training: marked as difficult",)),
    "specks": ({"bbox": [5, 5, 0.5, 0.5]}, ("ignored in training: under a pixel",)),
    "outside": ({"bbox": [500, 5, 9, 9]}, ("ignored in training: outside the image",)),
    "normalized": (
        {"bbox": lambda item: [side / 64 for side in item["bbox"]]},
        ("under a pixel", "normalized coordinates", "width and height"),
    ),
    "none": ({}, ("there is no image to train on: 8 images without objects",)),
}


@pytest.mark.parametrize("name", UNLEARNABLE)
def test_nothing_to_learn_from(
    detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path, name: str
) -> None:
    changes, reasons = UNLEARNABLE[name]
    data = edited(scenes, tmp_path / "data", **changes)
    outcome = detzoo("train", tiny, "--data", data, "--out", "run", *FAST, "--epochs", 1)
    assert_refused(outcome, "train.json: there is no", *reasons)
    assert not Path("run").exists()


def test_small_images_are_a_setting(detzoo: Run, tiny: Path, scenes: Path) -> None:
    base = ("train", tiny, "--data", scenes, "--out", "run", *FAST, "--epochs", 1)
    outcome = detzoo(*base, "--set", "data.min_image_size=65")
    reason = "8 images narrower than 65 pixels left out of training"
    assert_refused(outcome, "no image to train on", reason, "--set data.min_image_size=N (now 65)")
    outcome = detzoo(*base, "--set", "data.min_image_size=64")
    assert outcome.code == 0, outcome


def test_areas_that_are_all_0(detzoo: Run, tiny: Path, scenes: Path, tmp_path: Path) -> None:
    """Some tools write them so: they are computed, and that is said."""
    data = edited(scenes, tmp_path / "data", area=0)
    same = edited(scenes, tmp_path / "same", area=lambda item: item["area"])
    for name, folder in (("zero", data), ("same", same)):
        outcome = detzoo("train", tiny, "--data", folder, "--out", name, *FAST, "--epochs", 1)
        assert outcome.code == 0, outcome
        said = "all areas in the file are 0: computed from masks or boxes" in outcome.out
        assert said is (name == "zero")
    (zero,), (other,) = records("zero"), records("same")
    assert zero["loss"] == other["loss"]
    assert checkpoint.read("zero/last.pt").class_names == CLASSES
