"""One process of ``test_truth``: it trains some of its runs, or tests what they left.

``python -m tests.train.truth_worker train|test DATA OUT NAME...``
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.checkpoint import Checkpoint
from detzoo.cli.main import main as detzoo
from detzoo.data.locate import open_dataset
from detzoo.train.loop import train
from tests.train.test_resume import history, interrupting
from tests.train.tiny import build
from tests.train.truth import Run, all_runs

# Where the twin of a resumed run is, which nobody interrupts.
TWIN = "-through"


def main(action: str, data: Path, out: Path, names: list[str]) -> None:
    torch.set_num_threads(1)  # as the tests do, so that all processes compute the same bits
    runs = [all_runs()[name] for name in names]
    if action == "test":
        for run in runs:
            measure_evaluated(run, data, out / run.name)
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in a shell's background
    keep_checkpoints()
    for run in runs:
        if run.settings.resumed:
            train_once(run, data, out / (run.name + TWIN))
            train_once(run, data, out / run.name, interrupt=True)
        train_once(run, data, out / run.name, resume=run.settings.resumed)


def keep_checkpoints() -> None:
    """Makes every ``last.pt`` leave a copy that the next one does not write over."""
    save = checkpoint.save

    def save_and_keep(path: Path, content: Checkpoint) -> None:
        save(path, content)
        if path.name == "last.pt":
            assert content.training is not None
            shutil.copy(path, kept(path.parent, content.training["position"]["iteration"]))

    checkpoint.save = save_and_keep  # type: ignore[assignment]


def kept(folder: Path, iteration: int) -> Path:
    """The copy of what was ``last.pt`` after that step."""
    return folder / f"step-{iteration}.pt"


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """What the run logged of each."""
    return [record for record in history(folder) if record["kind"] == "val"]


def train_once(
    run: Run, data: Path, folder: Path, *, interrupt: bool = False, resume: bool = False
) -> None:
    """One call of the loop; what it shows goes to ``shown.txt``. May press Ctrl-C half-way."""
    experiment, settings = run.experiment, run.settings
    images = open_dataset(data, "train")
    if interrupt:
        # Every process reads as many images, and every one gets the Ctrl-C of a terminal.
        reads = len(images) * settings.accumulate * experiment.schedule.length
        images = interrupting(images, calls=reads // 2)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "shown.txt").open("a") as file, contextlib.redirect_stdout(file):
        result = train(
            experiment,
            build(experiment),
            images,
            open_dataset(data, "val", class_names=images.class_names),
            folder,
            resume=resume,
            early_stopping=run.early_stopping,
        )
    assert result.interrupted is interrupt


def measure_evaluated(run: Run, data: Path, folder: Path) -> None:
    """``detzoo test`` of what was evaluated: metrics beside it in JSON, what is shown in text."""
    files = [kept(folder, record["iteration"]) for record in evaluations(folder)]
    for file in (*files, folder / "best.pt"):
        arguments = ["test", file, "--data", data, "--json", file.with_suffix(".json")]
        arguments += ["--workers", 0, "--device", "cpu"]
        sys.argv = ["detzoo", *map(str, arguments)]
        with (
            file.with_suffix(".txt").open("w") as text,
            contextlib.redirect_stdout(text),
            contextlib.suppress(SystemExit),  # what it writes tells whether it went well
        ):
            detzoo()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
