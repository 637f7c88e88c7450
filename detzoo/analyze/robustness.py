"""What corruptions of the images cost a detector (https://arxiv.org/abs/1907.07484)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rich.table import Table

from detzoo.data.transforms.corrupt import CORRUPTIONS, Corrupt, Corruption
from detzoo.evaluate.metrics import Metrics, show_value
from detzoo.experiment import Experiment

# Of clean images: None; otherwise which corruption, and how severe.
Step = tuple[Corruption, int] | None


@dataclass
class Robustness:
    """The metrics of a detector on clean images, and by corruption and severity.

    Values are by name, such as ``bbox/AP``; ``main`` is the one that the table shows.
    """

    main: str = ""
    values: dict[Step, dict[str, float]] = field(default_factory=dict)

    def add(self, step: Step, metrics: Metrics) -> None:
        self.main = metrics.main_name
        # Those of what the data does not have, such as small objects, are NaN.
        kept = {name: value for name, value in metrics.values.items() if math.isfinite(value)}
        self.values[step] = kept

    @property
    def corruptions(self) -> tuple[Corruption, ...]:
        """Those that were measured."""
        return tuple(dict.fromkeys(step[0] for step in self.values if step is not None))

    @property
    def averaged(self) -> tuple[Corruption, ...]:
        """Those of the benchmark that were measured, or others if there are none of them."""
        measured = self.corruptions
        return tuple(one for one in measured if one in CORRUPTIONS["benchmark"]) or measured

    def mean(self) -> dict[str, float]:
        """mPC of each metric: the mean over corruptions of the mean over severities."""
        if not self.averaged:
            return {}
        return {
            name: sum(self.of(one, name) for one in self.averaged) / len(self.averaged)
            for name in self.values[None]
        }

    def relative(self) -> dict[str, float]:
        """rPC of each metric: mPC as a part of the value on clean images."""
        clean = self.values[None]
        return {name: mean / clean[name] for name, mean in self.mean().items() if clean[name] > 0}

    def of(self, corruption: Corruption, name: str) -> float:
        """A metric's mean over severities."""
        found = [
            values[name]
            for step, values in self.values.items()
            if step is not None and step[0] == corruption
        ]
        return sum(found) / len(found)

    def table(self) -> Table:
        """The main metric: a row for each corruption, a column for each severity."""
        name = self.main
        severities = sorted({step[1] for step in self.values if step is not None})
        table = Table(name, *(f"severity {one}" for one in severities), "mean", title="corruptions")
        for column in table.columns[1:]:
            column.justify = "right"
        table.add_row("clean", *[""] * len(severities), show_value(self.values[None][name]))
        for corruption in self.corruptions:
            cells = (self.values.get((corruption, one)) for one in severities)
            shown = ("" if cell is None else show_value(cell[name]) for cell in cells)
            table.add_row(corruption, *shown, show_value(self.of(corruption, name)))
        return table

    def to_json(self) -> dict[str, Any]:
        corrupted: dict[str, dict[str, dict[str, float]]] = {}
        for step, values in self.values.items():
            if step is not None:
                corrupted.setdefault(step[0], {})[str(step[1])] = values
        return {
            "main": self.main,
            "clean": self.values.get(None, {}),
            "corrupted": corrupted,
            "averaged": list(self.averaged),
            "mPC": self.mean(),
            "rPC": self.relative(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Robustness:
        """Reads what :meth:`to_json` wrote. Raises KeyError, TypeError or ValueError for others."""
        values: dict[Step, dict[str, float]] = {None: dict(content["clean"])}
        for corruption, by_severity in content["corrupted"].items():
            for severity, found in by_severity.items():
                one = Corrupt(corruption=corruption, severity=int(severity))
                values[one.corruption, one.severity] = dict(found)
        return cls(content["main"], values)


def corrupted(experiment: Experiment, step: Step) -> Experiment:
    """``experiment`` with images corrupted before everything else when it is tested."""
    if step is None:
        return experiment
    data = experiment.data
    transforms = (Corrupt(corruption=step[0], severity=step[1]), *data.test_transforms)
    return replace(experiment, data=replace(data, test_transforms=transforms))
