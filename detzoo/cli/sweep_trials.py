"""The trials of ``detzoo sweep``: their values, and the runs that they are."""

from __future__ import annotations

import ast
import itertools
import json
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

JOURNAL, COMMAND = "trials.log", "sweep.json"
# Seconds between looks at the log of a run.
INTERVAL = 0.5
# Evaluations of a run before one at which it may be pruned, and runs before any is.
WARM_UP, MIN_RUNS = 2, 5
_RANGE = re.compile(r"(?P<log>log:)?(?P<low>[^.\[{]\S*?)\.\.(?P<high>\S+)")
_NUMBER = re.compile(r"[+-]?\d+(?P<real>\.\d*)?(?P<exponent>[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Space:
    """The values of one setting: those of ``choices``, or from ``low`` to ``high``.

    All values are written as ``--set`` takes them. ``log`` draws their logarithms uniformly.
    """

    path: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    is_integer: bool = False
    log: bool = False

    @classmethod
    def parse(cls, text: str) -> Space:
        """Reads ``PATH=LOW..HIGH``, ``PATH=log:LOW..HIGH`` or ``PATH=[A, B, C]``."""
        path, equals, values = (part.strip() for part in text.partition("="))
        if not (path and equals and values):
            raise _unreadable(text)
        if values.startswith("["):
            return cls(path, choices=_choices(values, text))
        found = _RANGE.fullmatch(values)
        ends = [_NUMBER.fullmatch(found[name]) for name in ("low", "high")] if found else []
        if found is None or None in ends:
            raise _unreadable(text)
        low, high = float(found["low"]), float(found["high"])
        if not low < high or (found["log"] and low <= 0):
            raise ConfigError(
                f"--space {text}: the first number must be "
                f"{'greater than 0, and ' if found['log'] else ''}less than the second"
            )
        real = any(end and (end["real"] or end["exponent"]) for end in ends)
        return cls(path, (), low, high, is_integer=not real, log=bool(found["log"]))

    @property
    def examples(self) -> tuple[str, ...]:
        """Values that show whether the setting exists and takes them."""
        return self.choices or (self.as_text(self.low), self.as_text(self.high))

    def as_text(self, value: float | str) -> str:
        """A value as ``--set`` takes it."""
        if isinstance(value, str):
            return value
        return str(int(value)) if self.is_integer else repr(float(value))

    def distribution(self) -> BaseDistribution:
        from optuna import distributions

        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        if self.is_integer:
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.log)
        return distributions.FloatDistribution(self.low, self.high, log=self.log)


def _unreadable(text: str) -> ConfigError:
    return ConfigError(
        f"--space {text}: write PATH=LOW..HIGH, PATH=log:LOW..HIGH or PATH=[A, B, C], such as "
        "optimizer.lr=log:1e-4..1e-2"
    )


def _choices(values: str, text: str) -> tuple[str, ...]:
    """The members of a list, as ``--set`` takes them."""
    try:
        found = ast.literal_eval(values)
    except (ValueError, SyntaxError):
        try:
            found = json.loads(values)
        except ValueError:
            raise ConfigError(
                f"--space {text}: is not a list in Python or JSON; put texts in quotes, such as "
                '\'precision=["fp32", "bf16"]\''
            ) from None
    choices = tuple(one if isinstance(one, str) else repr(one) for one in found)
    if len(set(choices)) < max(len(choices), 1):
        raise ConfigError(f"--space {text}: give one or more different values")
    return choices


def combinations(spaces: Sequence[Space]) -> list[dict[str, str]] | None:
    """All combinations of values; None if a setting has infinitely many or a range."""
    if not all(space.choices for space in spaces):
        return None
    rows = itertools.product(*(space.choices for space in spaces))
    return [dict(zip((space.path for space in spaces), row)) for row in rows]


@dataclass(frozen=True)
class Sweep:
    """Trials in ``folder``: each trains ``detzoo train ARGUMENTS`` with values of its own, once for
    each of ``seeds`` (none: as the arguments say).
    """

    folder: Path
    arguments: tuple[str, ...]
    spaces: tuple[Space, ...]
    metric: str
    seeds: tuple[int, ...] = ()
    prune: bool = True

    def open(self) -> Study:
        """The trials so far; those that were interrupted are the next ones.

        Raises :class:`ConfigError` if the folder has those of another command.
        """
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
        from optuna.trial import TrialState

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._keep_command()
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.folder / JOURNAL))),
            study_name="detzoo",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(MIN_RUNS, WARM_UP) if self.can_prune else None,
        )
        trials = study.get_trials(deepcopy=False)
        # The same seed would draw the first values again.
        study.sampler = optuna.samplers.TPESampler(seed=len(trials))
        if not trials:
            for values in combinations(self.spaces) or ():
                study.enqueue_trial(values)
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params, user_attrs={"folder": self._name(trial)})
                study.set_user_attr(f"interrupted-{trial.number}", True)
        return study

    @property
    def can_prune(self) -> bool:
        """Of several seeds, each run is wanted."""
        return self.prune and len(self.seeds) < 2

    def _keep_command(self) -> None:
        file = self.folder / COMMAND
        spaces: dict[str, list[Any]] = {
            space.path: [*space.choices] or [space.low, space.high] for space in self.spaces
        }
        command = {
            "arguments": list(self.arguments),
            "spaces": spaces,
            "metric": self.metric,
            "seeds": list(self.seeds),
        }
        if file.is_file():
            if json.loads(file.read_text(encoding="utf-8")) != command:
                raise ConfigError(
                    f"--out {self.folder}: contains a sweep with other options ({file}). Give the "
                    "same ones to go on with it (--trials may differ), or another folder."
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(command, indent=2, ensure_ascii=False), encoding="utf-8")

    def finished(self, study: Study) -> list[FrozenTrial]:
        """Trials that have ended, in order, without those that were interrupted."""
        return [
            trial
            for trial in study.get_trials(deepcopy=False)
            if trial.state.is_finished() and f"interrupted-{trial.number}" not in study.user_attrs
        ]

    def run_next(self, study: Study) -> FrozenTrial:
        """Runs a trial. Raises :class:`ConfigError` if not even the first one starts."""
        from optuna.trial import TrialState

        trial = study.ask({space.path: space.distribution() for space in self.spaces})
        name = self._name(trial)
        trial.set_user_attr("folder", name)
        scores = []
        for seed in self.seeds or (None,):
            folder = self.folder / (name if seed is None else f"{name}-seed-{seed}")
            command = [*self.command(trial.params, seed), "--out", str(folder)]
            if (folder / "last.pt").is_file():
                command.append("--resume")
            outcome = follow(command, folder, self.metric, trial if self.can_prune else None)
            if outcome.is_pruned:
                return study.tell(trial, state=TrialState.PRUNED)
            if outcome.score is None:
                if not outcome.has_started and not self.finished(study):
                    study.tell(trial, state=TrialState.FAIL)
                    raise ConfigError(f"the first trial did not start. {outcome.text}")
                trial.set_user_attr("error", outcome.text)
                return study.tell(trial, state=TrialState.FAIL)
            scores.append(outcome.score)
        trial.set_user_attr("scores", scores)
        return study.tell(trial, statistics.fmean(scores))

    def command(self, values: Mapping[str, Any], seed: int | None = None) -> list[str]:
        """``detzoo train`` with the values of a trial."""
        spaces = {space.path: space for space in self.spaces}
        settings = [f"{path}={spaces[path].as_text(value)}" for path, value in values.items()]
        return [
            *("train", *self.arguments),
            *(part for setting in settings for part in ("--set", setting)),
            *(() if seed is None else ("--seed", str(seed))),
        ]

    def _name(self, trial: Trial | FrozenTrial) -> str:
        """The folder of its run; a trial that goes on with another has that one's."""
        return str(trial.user_attrs.get("folder", f"trial-{trial.number}"))


@dataclass(frozen=True)
class Outcome:
    """``score`` is the best value of the metric, None for a run that failed, and ``text`` says
    why.
    """

    score: float | None = None
    is_pruned: bool = False
    has_started: bool = True
    text: str = ""


def follow(command: Sequence[str], folder: Path, metric: str, trial: Trial | None) -> Outcome:
    """Runs a ``detzoo`` command that trains into ``folder``, and follows its log.

    ``trial`` is told every value of ``metric``, and may end the run; its checkpoints remain. What
    the command prints goes into ``folder`` with the ending ``.txt``.
    """
    from detzoo.cli.common import plain_console

    output = folder.with_name(f"{folder.name}.txt")
    reported = 0
    with output.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "detzoo", *command], stdout=file, stderr=subprocess.STDOUT
        )
        try:
            while True:
                is_over = process.poll() is not None
                scores = read_scores(folder, metric)
                for step in range(reported, len(scores)):
                    if trial is None:
                        continue
                    trial.report(scores[step], step)
                    if not is_over and trial.should_prune():
                        process.terminate()  # it saves what it has, and stops
                        process.wait()
                        return Outcome(is_pruned=True)
                reported = len(scores)
                if is_over:
                    break
                time.sleep(INTERVAL)
        except BaseException:
            process.terminate()
            plain_console().print("waiting for the run to save its state")
            process.wait()
            raise
    has_started = (folder / "metrics.jsonl").is_file()
    if process.returncode in (0, 1) and scores:  # 1: with images left out
        return Outcome(max(scores))
    last = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    text = "".join(last) or f"exit code {process.returncode}"
    if process.returncode in (0, 1):
        text = f"{folder}: it was not evaluated; give validation data (--val), or more epochs."
    return Outcome(None, has_started=has_started, text=f"{text} (all of it: {output})")


def read_scores(folder: Path, metric: str) -> list[float]:
    """The values of ``metric`` in the log of a run, in order; one that is undefined is 0.

    Raises :class:`ConfigError` if evaluations have other metrics.
    """
    file = folder / "metrics.jsonl"
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]  # the last may not be complete
    records = [json.loads(line) for line in lines if line]
    evaluations = [record for record in records if record.get("kind") == "val"]
    for record in evaluations:
        if metric not in record:
            names = ", ".join(name for name in record if name not in ("kind", "iteration"))
            raise ConfigError(f"--metric {metric}: is not among those of {folder}: {names}")
    values = [record[metric] for record in evaluations]
    return [value if value is not None and math.isfinite(value) else 0.0 for value in values]
