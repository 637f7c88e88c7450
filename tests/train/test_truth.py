"""What a run logs is what its checkpoints do, to the last digit.

After each evaluation of each run, the checkpoint written at that moment is tested in another
process, by ``detzoo test``.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo.checkpoints import checkpoint
from tests.train.test_distributed import run_processes
from tests.train.test_resume import assert_same
from tests.train.truth import COVERING, Settings, all_runs, write_scenes
from tests.train.truth_worker import TWIN, evaluations, kept

RUNS = all_runs()
LEARNING = [name for name in RUNS if name != "blind"]
RESUMED = [name for name, run in RUNS.items() if run.settings.resumed]
STOPPED = [name for name, run in RUNS.items() if run.early_stopping]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each run, with what tests of its checkpoints gave beside them."""
    folder = tmp_path_factory.mktemp("truth")
    data, out = folder / "data", folder / "runs"
    write_scenes(data, "train", 40, seed=1)
    # An odd number: of two processes one has an image less, or sees one twice.
    write_scenes(data, "val", 13, seed=2)
    for count in (1, 2):
        names = [name for name, run in RUNS.items() if run.settings.processes == count]
        finish("train", data, out, names, count)
    finish("test", data, out, list(RUNS), 1)
    return out


def finish(action: str, data: Path, out: Path, names: Sequence[str], count: int) -> None:
    processes = run_processes(count, [action, data, out, *names], "tests.train.truth_worker")
    while any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes):
            break  # the others would wait for it
        time.sleep(0.05)
    failed = [process for process in processes if process.poll()]
    for process in processes:
        process.kill()
        _, errors = process.communicate()
        assert process not in failed, errors


def logged(folder: Path) -> list[dict[str, float | None]]:
    """The metrics of each evaluation as the run wrote them down."""
    others = ("kind", "iteration")
    return [
        {name: value for name, value in record.items() if name not in others}
        for record in evaluations(folder)
    ]


def checkpoints(folder: Path) -> list[Path]:
    """Those that were written after each evaluation."""
    return [kept(folder, record["iteration"]) for record in evaluations(folder)]


def measured(file: Path) -> dict[str, float | None]:
    """The metrics of a checkpoint as another process found them."""
    metrics: dict[str, float | None] = json.loads(file.with_suffix(".json").read_text())["metrics"]
    return metrics


def watched(name: str, folder: Path) -> list[float]:
    """The metric that decides which checkpoint is the best one, as another process found it."""
    stopping = RUNS[name].early_stopping
    metric = (stopping and stopping.metric) or "bbox/AP"
    values = [measured(file)[metric] for file in checkpoints(folder)]
    assert all(value is not None for value in values)
    return [value for value in values if value is not None]


def first_best(values: Sequence[float]) -> int:
    return list(values).index(max(values))


# ----------------------------------------------------------------------------- what is compared


def values_of(settings: Settings) -> list[tuple[str, Any]]:
    return list(dataclasses.asdict(settings).items())


def test_every_pair_of_settings_meets() -> None:
    """In as few runs as can be: four norms times two values of each other setting."""
    met = {pair for s in COVERING[:8] for pair in itertools.combinations(values_of(s), 2)}
    known = dict.fromkeys(item for settings in COVERING for item in values_of(settings))
    wanted = {(a, b) for a, b in itertools.combinations(known, 2) if a[0] != b[0]}
    order = list(dataclasses.asdict(COVERING[0]))
    ordered = {tuple(sorted(pair, key=lambda item: order.index(item[0]))) for pair in wanted}
    assert len(ordered) == 4 * 2 * 7 + 4 * 7 * 6 // 2
    assert met == ordered


@pytest.mark.parametrize("name", LEARNING)
def test_evaluations_differ(out: Path, name: str) -> None:
    """Without that, a run that logs an old evaluation anew would pass the tests below."""
    metrics = [measured(file) for file in checkpoints(out / name)]
    assert len(metrics) >= 3
    for earlier, later in itertools.pairwise(metrics):
        assert earlier != later
    assert max(watched(name, out / name)) > 0


# ------------------------------------------------------------------------------------ the truth


@pytest.mark.parametrize("name", RUNS)
def test_what_is_logged_is_what_the_checkpoint_does(out: Path, name: str) -> None:
    files = checkpoints(out / name)
    assert logged(out / name) == [measured(file) for file in files]


@pytest.mark.parametrize("name", RUNS)
def test_what_is_shown_is_what_detzoo_test_shows(out: Path, name: str) -> None:
    lines = (out / name / "shown.txt").read_text().splitlines()
    shown = [line for line in lines if line.startswith("evaluation: ")]
    files = checkpoints(out / name)
    assert len(shown) == len(files)
    for line, file in zip(shown, files):
        table = cells(file.with_suffix(".txt").read_text())
        numbers = dict(re.findall(r"(\S+/\S+) (\S+)", line.split("(best")[0]))
        assert numbers == {name: table[name] for name in numbers}
        assert {"bbox/AP", "bbox/AP50", "bbox/AP75"} <= set(numbers)


def cells(text: str) -> dict[str, str]:
    """The table of metrics by their full names."""
    (head,) = (line for line in text.splitlines() if line.startswith("┃ metric"))
    kinds = [cell.strip() for cell in head.strip("┃").split("┃")][1:]
    found = {}
    for line in text.splitlines():
        if line.startswith("│"):
            row, *values = (cell.strip() for cell in line.strip("│").split("│"))
            found |= {f"{kind}/{row}": value for kind, value in zip(kinds, values)}
    return found


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_is_the_same_run(out: Path, name: str) -> None:
    resumed, through = out / name, out / (name + TWIN)
    shown = (resumed / "shown.txt").read_text()
    assert "resuming after step" in shown
    assert evaluations(resumed) == evaluations(through)
    for file in ("last.pt", "best.pt"):
        one, other = (checkpoint.read(folder / file) for folder in (resumed, through))
        assert_same(dataclasses.asdict(one), dataclasses.asdict(other), file)


# --------------------------------------------------------------------------- the best, the last


@pytest.mark.parametrize("name", RUNS)
def test_best_is_the_best_of_them(out: Path, name: str) -> None:
    """Of equals the first."""
    files = checkpoints(out / name)
    best = files[first_best(watched(name, out / name))]
    weights = checkpoint.read(out / name / "best.pt").model
    assert_same(weights, checkpoint.read(best).to_detect.tensors)
    assert measured(out / name / "best.pt") == measured(best)


@pytest.mark.parametrize("name", STOPPED)
def test_it_stops_where_the_values_say(out: Path, name: str) -> None:
    run = RUNS[name]
    assert run.early_stopping is not None
    values = watched(name, out / name)
    # Evaluations since the best one, after each.
    waited = [n - first_best(values[: n + 1]) for n in range(len(values))]
    assert [n for n, count in enumerate(waited) if count >= run.early_stopping.patience] == [
        len(values) - 1
    ]
    assert len(values) < run.experiment.schedule.length


def test_the_best_can_be_between_the_first_and_the_last(out: Path) -> None:
    values = watched("spoiled", out / "spoiled")
    assert 0 < first_best(values) < len(values) - 1


def test_all_can_be_equally_good(out: Path) -> None:
    """Though they are not the same weights, so that it matters which of them are kept."""
    assert watched("blind", out / "blind") == [0, 0, 0]
    first, second, _ = (checkpoint.read(file).model for file in checkpoints(out / "blind"))
    assert any(not torch.equal(first[name], second[name]) for name in first)
