"""The named values that an evaluation returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

NOT_DEFINED = "-"


@dataclass(frozen=True)
class Metrics:
    """Values by name, such as ``bbox/AP50``; NaN if there was nothing to detect.

    ``main_name`` is the metric that decides which checkpoint is best. ``per_class`` holds the terms
    of the averages, by metric and class name.
    """

    values: Mapping[str, float]
    main_name: str
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def merge(cls, parts: Sequence[Metrics]) -> Metrics:
        """All values of several evaluators; the main metric is that of the first."""
        values: dict[str, float] = {}
        per_class: dict[str, Mapping[str, float]] = {}
        for part in parts:
            values.update(part.values)
            per_class.update(part.per_class)
        return cls(values, parts[0].main_name, per_class)

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    @property
    def main(self) -> float:
        """The value that decides which checkpoint is best."""
        return self.values[self.main_name]

    def to_json(self) -> dict[str, Any]:
        """For ``json.dump``: NaN becomes null."""
        return {
            "main": self.main_name,
            "metrics": {name: _null_if_nan(value) for name, value in self.values.items()},
            "per_class": {
                name: {label: _null_if_nan(value) for label, value in values.items()}
                for name, values in self.per_class.items()
            },
        }

    def table(self, *, per_class: bool = False) -> Group:
        """A table to print with rich: a column per kind of metric, a row per metric."""
        tables = [_summary(self.values)]
        if per_class:
            for kind in _kinds(self.per_class):
                columns = {
                    name.split("/")[1]: values
                    for name, values in self.per_class.items()
                    if name.startswith(f"{kind}/AP")  # including recalls it would be too wide
                }
                tables.append(_class_table(kind, columns))
        return Group(*tables)


def _summary(values: Mapping[str, float]) -> Table:
    kinds = _kinds(values)
    rows = list(dict.fromkeys(name.split("/")[1] for name in values))
    table = Table("metric")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for row in rows:
        cells = [f"{kind}/{row}" for kind in kinds]
        table.add_row(row, *(_show(values[name]) if name in values else "" for name in cells))
    return table


def _class_table(kind: str, columns: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table("class", title=f"{kind}, per class")
    for name in columns:
        table.add_column(name, justify="right")
    for label in next(iter(columns.values())):
        table.add_row(escape(label), *(_show(values[label]) for values in columns.values()))
    return table


def _kinds(names: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for name in names))


def _show(value: float) -> str:
    return NOT_DEFINED if math.isnan(value) else f"{value:.3f}"


def _null_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
