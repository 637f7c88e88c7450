"""``detzoo train`` on photographs: each epoch's checkpoint does what the run logged of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.checkpoint import Checkpoint
from tests.cli.conftest import Run
from tests.shared import shared

EPOCHS = 4
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("ema", [False, True])
def test_each_epoch_does_what_was_logged(
    detzoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: bool
) -> None:
    data = shared("data", "balloon")
    monkeypatch.setenv("DETZOO_WEIGHTS", str(shared("weights", "mobilenet_v2_imagenet.npz").parent))
    keep_epochs(monkeypatch)
    run = tmp_path / "run"
    outcome = detzoo(
        "train", "retinanet_mobilenetv2_fpn", "--data", data, "--out", run, "--epochs", EPOCHS,
        "--set", "model.backbone.pretrained=mobilenet_v2_imagenet",
        "--set", "data.train_transforms[0].sizes=((320, 240),)",
        "--set", "data.test_transforms[0].sizes=((320, 240),)",
        *(("--set", AVERAGE) if ema else ()),
        "--device", "cpu",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [record for record in records if record.pop("kind") == "val"]
    assert len(logged) == EPOCHS
    found = [measured(run / f"{record['iteration']}.pt", data) for record in logged]
    assert logged == [
        {"iteration": record["iteration"], **metrics} for record, metrics in zip(logged, found)
    ]
    values = [metrics["bbox/AP"] for metrics in found]
    assert len(set(values)) == EPOCHS, values
    assert measured(run / "best.pt", data) == found[values.index(max(values))]


AVERAGE = 'ema={"type": "EMAConfig", "momentum": 0.1, "warmup": 4}'


def keep_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves a copy of every ``last.pt``, named by its iteration."""
    save = checkpoint.save

    def save_and_keep(path: Path, content: Checkpoint) -> None:
        save(path, content)
        if path.name == "last.pt":
            assert content.training is not None
            shutil.copy(path, path.with_name(f"{content.training['position']['iteration']}.pt"))

    monkeypatch.setattr(checkpoint, "save", save_and_keep)


def measured(file: Path, data: Path) -> dict[str, float | None]:
    """The metrics of a checkpoint, by ``detzoo test`` in a process of its own."""
    out = file.with_suffix(".json")
    command = [sys.executable, "-m", "detzoo", "test", file, "--data", data, "--json", out]
    subprocess.run(
        [*command, "--device", "cpu"],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as many threads as this process has
    )
    metrics: dict[str, float | None] = json.loads(out.read_text())["metrics"]
    return metrics
