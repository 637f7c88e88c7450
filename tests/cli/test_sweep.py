"""``detzoo sweep``: what is tried, and what is said of it. Most tests replace the runs."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from detzoo.cli import sweep_trials
from detzoo.cli.sweep_trials import Outcome, Space, Sweep, combinations, follow, read_scores
from detzoo.errors import ConfigError
from tests.cli.conftest import Run, assert_refused

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="optuna is not installed (extra sweep)"
)
LR = "optimizer.lr=log:1e-4..1e-2"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (LR, Space("optimizer.lr", (), 1e-4, 1e-2, log=True)),
        ("a.b=0.5..2", Space("a.b", (), 0.5, 2)),
        ("a=-3..4", Space("a", (), -3, 4, is_integer=True)),
        ("a = log:1..64", Space("a", (), 1, 64, is_integer=True, log=True)),
        ("a=1e0..4", Space("a", (), 1, 4)),
        ("a=[2, 4]", Space("a", ("2", "4"))),
        ("a=['fp32', None]", Space("a", ("fp32", "None"))),
        ('a=[true, {"type": "Adam"}]', Space("a", ("True", "{'type': 'Adam'}"))),
    ],
)
def test_spaces(text: str, wanted: Space) -> None:
    assert Space.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer.lr", "write PATH=LOW..HIGH"),
        ("a=1...2", "write PATH=LOW..HIGH"),
        ("a=1..b", "write PATH=LOW..HIGH"),
        ("a=2..1", "less than the second"),
        ("a=log:0..1", "greater than 0"),
        ("a=[fp32, bf16]", "put texts in quotes"),
        ("a=[]", "one or more different values"),
        ("a=[1, 1]", "one or more different values"),
    ],
)
def test_what_is_no_space(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Space.parse(text)


def test_values_are_written_as_set_takes_them() -> None:
    assert Space.parse("a=1..4").as_text(2.0) == "2"
    assert Space.parse("a=1.0..4").as_text(2) == "2.0"
    assert float(Space.parse(LR).as_text(0.1 + 0.2)) == 0.1 + 0.2


def test_combinations() -> None:
    spaces = [Space.parse("a=[1, 2]"), Space.parse("b=['x', 'y']")]
    rows = [tuple(row.values()) for row in combinations(spaces) or ()]
    assert rows == [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")]
    assert combinations([*spaces, Space.parse("c=1..2")]) is None
    assert combinations([]) == [{}]


# -------------------------------------------------------------------------------- in all

Runs = list[list[str]]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The commands of all runs, which end at once: they are the better, the closer the learning
    rate is to 0.001 and the greater the seed.
    """
    commands: Runs = []

    def instead(command: Sequence[str], folder: Path, metric: str, trial: Any) -> Outcome:
        commands.append(list(command))
        return Outcome(score_of(command))

    monkeypatch.setattr(sweep_trials, "follow", instead)
    return commands


def value_of(command: Sequence[str], option: str, default: str) -> str:
    return command[command.index(option) + 1] if option in command else default


def score_of(command: Sequence[str]) -> float:
    settings = [text for text in command if text.startswith("optimizer.lr=")]
    rate = float(settings[0].partition("=")[2]) if settings else 0.001
    seed = int(value_of(command, "--seed", "0"))
    return math.exp(-abs(math.log10(rate / 0.001))) / 2 + seed / 10


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@needs_optuna
def test_the_best_values_are_found(detzoo: Run, scenes: Path, tiny: Path, runs: Runs) -> None:
    command = ("sweep", tiny, "--data", scenes, "--epochs", 1, "--space", LR, "--trials", 12)
    outcome = detzoo(*command, "--out", "s")
    assert outcome.code == 0, outcome
    assert len(runs) == 12
    rows = table_of(Path("s"))
    scores = [float(row["bbox/AP"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == max(score_of(run) for run in runs)
    best = re.search(r"detzoo train .*--set optimizer.lr=(\S+)", outcome.out)
    assert best is not None
    assert best[1] == rows[0]["optimizer.lr"]
    assert f"--data {scenes} --epochs 1" in best[0]
    # Ten are drawn at random, and then those near the best ones.
    assert len({value_of(run, "--out", "") for run in runs}) == 12


@needs_optuna
def test_lists_are_tried_out_with_all_seeds(
    detzoo: Run, scenes: Path, tiny: Path, runs: Runs
) -> None:
    lists = ("--space", "optimizer.lr=[0.01, 0.001]", "--space", "data.images_per_device=[1, 2]")
    outcome = detzoo("sweep", tiny, "--data", scenes, *lists, "--seeds", "1,3", "--out", "s")
    assert outcome.code == 0, outcome
    tried = [(value_of(run, "--seed", ""), [t for t in run if "=" in t]) for run in runs]
    assert len(tried) == 8
    assert tried[:2] == [
        ("1", ["optimizer.lr=0.01", "data.images_per_device=1"]),
        ("3", ["optimizer.lr=0.01", "data.images_per_device=1"]),
    ]
    # 0.5 + 0.1 and 0.5 + 0.3: the standard deviation is 0.2 / sqrt(2).
    assert "0.7000 ± 0.1414" in outcome.out
    best = table_of(Path("s"))[0]
    assert best["optimizer.lr"] == "0.001"
    assert [float(one) for one in best["scores"].split()] == pytest.approx([0.6, 0.8])


@needs_optuna
def test_seeds_alone(detzoo: Run, scenes: Path, tiny: Path, runs: Runs) -> None:
    outcome = detzoo("sweep", tiny, "--data", scenes, "--seeds", "0,1,2", "--out", "s")
    assert outcome.code == 0, outcome
    assert [value_of(run, "--out", "") for run in runs] == [
        f"s/trial-0-seed-{seed}" for seed in range(3)
    ]
    assert "0.6000 ± 0.1000" in outcome.out
    assert "best values" not in outcome.out


@needs_optuna
def test_an_interrupted_sweep_goes_on(
    detzoo: Run, scenes: Path, tiny: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the trial that was interrupted, in its folder, and then with new values."""
    command = ("sweep", tiny, "--data", scenes, "--space", LR, "--trials", 4, "--out", "s")
    goes_on = sweep_trials.follow

    def interrupt(command: Sequence[str], folder: Path, *rest: Any) -> Outcome:
        if len(runs) < 2:
            return goes_on(command, folder, *rest)
        runs.append(list(command))
        folder.mkdir()
        (folder / "last.pt").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweep_trials, "follow", interrupt)
        outcome = detzoo(*command)
    assert outcome.code == 130
    assert "the same command with --out s goes on" in outcome.out
    outcome = detzoo(*command)
    assert outcome.code == 0, outcome
    assert "going on after 2 of 4 trials" in outcome.out
    assert len(runs) == 5
    assert runs[3] == [*runs[2], "--resume"]
    assert len({str(run) for run in runs}) == 5
    assert len(table_of(Path("s"))) == 4
    # More trials of the same sweep.
    assert detzoo(*command[:-3], 5, *command[-2:]).code == 0
    assert len(runs) == 6


@needs_optuna
def test_a_trial_that_fails(
    detzoo: Run, scenes: Path, tiny: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("sweep", tiny, "--data", scenes, "--space", "optimizer.lr=[1.0, 0.001]")
    outcomes = iter((Outcome(None, text="step 3: loss is nan"), Outcome(0.5)))
    monkeypatch.setattr(sweep_trials, "follow", lambda *_: next(outcomes))
    outcome = detzoo(*command, "--out", "s")
    assert outcome.code == 1
    assert "failed: step 3: loss is nan" in outcome.out
    assert [row["state"] for row in table_of(Path("s"))] == ["complete", "fail"]
    monkeypatch.setattr(
        sweep_trials, "follow", lambda *_: Outcome(None, has_started=False, text="no memory")
    )
    assert_refused(detzoo(*command, "--out", "t"), "the first trial did not start", "no memory")


@needs_optuna
def test_the_metric_is_that_of_the_evaluation(
    detzoo: Run, scenes: Path, tiny: Path, runs: Runs
) -> None:
    command = ("sweep", tiny, "--data", scenes, "--seeds", "0,1", "--set", "data.metric=voc")
    assert detzoo(*command, "--out", "s").code == 0
    assert json.loads(Path("s/sweep.json").read_text())["metric"] == "voc/AP50"
    assert len(runs) == 2


@needs_optuna
def test_what_is_refused(detzoo: Run, scenes: Path, tiny: Path, runs: Runs) -> None:
    data = (tiny, "--data", scenes)
    wrong = ("--space", "optimizer.rate=0.1..0.2")
    assert_refused(detzoo("sweep", *data, *wrong), "--space optimizer.rate", "lr")
    assert_refused(
        detzoo("sweep", *data, "--space", "optimizer.lr=-1.0..1"), "--space optimizer.lr: -1.0"
    )
    assert_refused(detzoo("sweep", *data), "--space: give settings to vary, or --seeds")
    assert_refused(detzoo("sweep", *data, "--seeds", "1,1"), "different whole numbers")
    assert_refused(detzoo("sweep", *data, "--seeds", "1", "--seed", "3"), "--seed: a sweep has no")
    assert_refused(detzoo("sweep", *data, "--space", LR, "--resume"), "--resume: a sweep has no")
    assert_refused(detzoo("sweep", tiny, "--data", "none", "--space", LR), "none")
    dry = detzoo("sweep", *data, "--space", LR, "--dry-run")
    assert_refused(dry, "--dry-run: a sweep has no")
    assert_refused(
        detzoo("sweep", *data, "--space", LR, "--metric", "bbox/mAP"),
        "--metric: no metric is called 'bbox/mAP' here; there are bbox/AP, bbox/AP50",
    )
    assert_refused(
        detzoo("sweep", *data, "--space", LR, "--val-fraction", 0, "--val", scenes / "none.json"),
        "none.json",
    )
    train_only = ("--data", scenes / "annotations" / "train.json", "--images", scenes / "train")
    assert_refused(detzoo("sweep", tiny, *train_only, "--space", LR), "give --val")
    assert_refused(
        detzoo("sweep", *data, "--space", LR, "--metric", "bbox/APl"),
        "--metric bbox/APl: is undefined on",
    )
    assert detzoo("sweep", *data, "--space", LR, "--epoch", 3).code == 2  # of click
    assert not runs
    assert detzoo("sweep", *data, "--space", LR, "--trials", 1, "--out", "s").code == 0
    assert_refused(
        detzoo("sweep", *data, "--space", LR, "--epochs", 3, "--trials", 2, "--out", "s"),
        "--out s: contains a sweep with other options",
    )


@pytest.mark.skipif(importlib.util.find_spec("optuna") is not None, reason="optuna is installed")
def test_without_optuna(detzoo: Run, scenes: Path, tiny: Path) -> None:
    outcome = detzoo("sweep", tiny, "--data", scenes, "--seeds", "0,1")
    assert_refused(outcome, "pip install 'detzoo[sweep]'")


# -------------------------------------------------------------------------------- one run

# Writes an evaluation every moment, and tells that it was stopped.
WRITER = """
import json, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: (Path(sys.argv[1], "stopped").touch(), sys.exit(143)))
values = json.loads(sys.argv[2])
for number, value in enumerate(values):
    with open(Path(sys.argv[1], "metrics.jsonl"), "a") as file:
        record = {"kind": "val", "iteration": number, "bbox/AP": value}
        file.write(json.dumps({"kind": "train", "iteration": number, "loss": 1.0}) + chr(10))
        file.write(json.dumps(record) + chr(10))
    time.sleep(0.1)
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the next run by one with these values, which then waits."""
    start = subprocess.Popen

    def replace(folder: Path, values: list[float | None], seconds: float) -> None:
        folder.mkdir()
        arguments = [str(folder), json.dumps(values), str(seconds)]
        command = [sys.executable, "-c", WRITER, *arguments]
        monkeypatch.setattr(subprocess, "Popen", lambda _, **options: start(command, **options))
        monkeypatch.setattr(sweep_trials, "INTERVAL", 0.02)

    return replace


def test_the_best_evaluation_counts(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "run", [0.1, None, 0.3, 0.2], 0)
    assert follow([], tmp_path / "run", "bbox/AP", None).score == 0.3
    assert read_scores(tmp_path / "run", "bbox/AP") == [0.1, 0.0, 0.3, 0.2]
    with pytest.raises(ConfigError, match=r"--metric bbox/ap: is not among .*: bbox/AP"):
        read_scores(tmp_path / "run", "bbox/ap")


@needs_optuna
def test_a_run_that_is_worse_than_others_is_stopped(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    """At the third evaluation, where the median of five others is 0.5."""
    sweep = Sweep(tmp_path, (), (Space.parse("a=0.0..1"),), "bbox/AP")
    study = sweep.open()
    for score in (0.3, 0.4, 0.5, 0.6, 0.7):
        trial = study.ask({"a": sweep.spaces[0].distribution()})
        for step in range(4):
            trial.report(score, step)
        study.tell(trial, score)
    good = study.ask()
    write(tmp_path / "good", [0.1, 0.2, 0.55, 0.6], 0)
    assert follow([], tmp_path / "good", "bbox/AP", good) == Outcome(0.6)
    poor = study.ask()
    write(tmp_path / "poor", [0.1, 0.2, 0.45], 60)
    assert follow([], tmp_path / "poor", "bbox/AP", poor).is_pruned
    assert (tmp_path / "poor" / "stopped").exists()
    reported = study.trials[poor.number].intermediate_values
    assert reported == {0: 0.1, 1: 0.2, 2: 0.45}


@needs_optuna
@pytest.mark.slow
def test_two_trials(detzoo: Run, scenes: Path, tiny: Path) -> None:
    """Each an ordinary run, with the setting that the table says."""
    options = ("--data", scenes, "--epochs", 2, "--no-report", "--device", "cpu")
    outcome = detzoo("sweep", tiny, *options, "--space", LR, "--trials", 2, "--out", "s")
    assert outcome.code == 0, outcome
    rows = table_of(Path("s"))
    assert {row["run"] for row in rows} == {"trial-0", "trial-1"}
    for row in rows:
        folder = Path("s") / row["run"]
        experiment = json.loads((folder / "experiment.json").read_text())
        assert experiment["optimizer"]["lr"] == float(row["optimizer.lr"])
        assert float(row["bbox/AP"]) == max(read_scores(folder, "bbox/AP"))
        assert (folder / "best.pt").is_file()
    best = re.search(r"  detzoo (train .*)", outcome.out)
    assert best is not None
    assert detzoo(*best[1].split(), "--out", "best").code == 0
