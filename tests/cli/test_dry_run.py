from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, assert_refused

FAST = ("--batch-size", 4, "--workers", 0, "--device", "cpu")


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    detzoo: Run, tiny: Path, scenes: Path, retinanet: Path
) -> None:
    arguments = (tiny, "--data", scenes, *FAST, "--epochs", 3, "--weights", retinanet)
    outcome = detzoo("train", *arguments, "--dry-run", "--deterministic")
    assert outcome.code == 0, outcome
    for line in (
        "folder         runs/tiny-1",
        "classes        4: circle, square, triangle, star",
        "images         8 to train on, 4 to evaluate on",
        f"weights        {retinanet}",
        "steps          6 of 4 images: 3 epochs of 2",
        "first step     loss_cls ",
        "evaluations    3; best.pt is the one with the highest bbox/AP",
        "nothing was written",
        "learning rate 0.02 -> 0.005",
    ):
        assert line in outcome.out, outcome.out
    assert not list(Path().iterdir())


def test_a_dry_run_of_a_run_to_be_resumed(detzoo: Run, tiny: Path, scenes: Path) -> None:
    run = ("train", tiny, "--data", scenes, *FAST, "--epochs", 1, "--out", "run")
    assert detzoo(*run).code == 0
    before = sorted(path.stat().st_mtime_ns for path in Path("run").rglob("*.*"))
    outcome = detzoo("train", "--resume", "--out", "run", "--epochs", 2, "--dry-run")
    assert outcome.code == 0, outcome
    assert "4 of 4 images: 2 epochs of 2; 2 are done" in outcome.out
    assert "next step" in outcome.out
    assert before == sorted(path.stat().st_mtime_ns for path in Path("run").rglob("*.*"))
    assert_refused(detzoo(*run, "--dry-run"), "already contains a run")


def test_a_dry_run_meets_the_errors_of_a_run(detzoo: Run, tiny: Path, scenes: Path) -> None:
    command = ("train", tiny, "--data", scenes, *FAST, "--dry-run")
    assert_refused(detzoo(*command, "--early-stopping", "bbox/APP,3"), "'bbox/APP'", "bbox/AP50")
    assert_refused(detzoo(*command, "--set", "optimizer.lrr=1"), "optimizer.lrr")
    assert_refused(detzoo(*command, "--slurm", "nodes=1"), "--slurm", "--dry-run")
    assert not list(Path().iterdir())
