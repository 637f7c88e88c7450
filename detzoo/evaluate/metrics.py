"""The named values returned by an evaluation."""

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

    ``main_name`` is the metric that determines the best checkpoint. ``per_class`` contains the
    values per class that averages are computed from, by metric and class name.
    """

    values: Mapping[str, float]
    main_name: str
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def merge(cls, parts: Sequence[Metrics]) -> Metrics:
        """Merges the metrics of several evaluators; the main metric is that of the first one."""
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
        """The value that determines the best checkpoint."""
        return self.values[self.main_name]

    def to_json(self) -> dict[str, Any]:
        """Converts to values for ``json.dump``: NaN becomes null."""
        return {
            "main": self.main_name,
            "metrics": {name: _null_if_nan(value) for name, value in self.values.items()},
            "per_class": {
                name: {label: _null_if_nan(value) for label, value in values.items()}
                for name, values in self.per_class.items()
            },
        }

    def table(self, *, per_class: bool = False) -> Group:
        """Builds a rich table with a column per kind of metric and a row per metric."""
        tables = [_summary(self.values)]
        if per_class:
            for kind in _kinds(self.per_class):
                columns = {
                    name.split("/")[1]: values
                    for name, values in self.per_class.items()
                    # With recalls it would be too wide.
                    if name.startswith(tuple(f"{kind}/{one}" for one in ("AP", "PQ", "SQ", "RQ")))
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
        table.add_row(row, *(show_value(values[name]) if name in values else "" for name in cells))
    return table


def _class_table(kind: str, columns: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table("class", title=f"{kind}, per class")
    for name in columns:
        table.add_column(name, justify="right")
    for label in next(iter(columns.values())):
        table.add_row(escape(label), *(show_value(values[label]) for values in columns.values()))
    return table


def _kinds(names: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for name in names))


def show_value(value: float) -> str:
    return NOT_DEFINED if math.isnan(value) else f"{value:.3f}"


def _null_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
