"""Formats records and evaluations of a run as lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from detzoo.evaluate.metrics import show_value
from detzoo.train.callbacks.base import Record

_NOT_LOSSES = {"kind", "iteration", "epoch", "lr", "data_time", "step_time", "memory_gb"}


def training_line(record: Record, total: int) -> str:
    """Formats losses, learning rate, times, memory and the remaining time of ``total`` steps."""
    losses = "  ".join(
        f"{name} {value:.4f}"
        for name, value in record.items()
        if name not in _NOT_LOSSES and isinstance(value, float)
    )
    line = f"{losses}  lr {record['lr']:.2e}"
    line += (
        f"  data {_milliseconds(record['data_time'])}  step {_milliseconds(record['step_time'])}"
    )
    if record["memory_gb"]:
        line += f"  memory {record['memory_gb']:.1f} GB"
    remaining = int((total - int(record["iteration"] or 0)) * float(record["step_time"] or 0))
    return f"{line}  left {remaining // 3600}:{remaining // 60 % 60:02}:{remaining % 60:02}"


def evaluation_line(values: Mapping[str, float], metric: str, best: Mapping[str, float]) -> str:
    """Formats an evaluation: the monitored ``metric``, its best value, and related metrics."""
    kinds = dict.fromkeys(name.split("/")[0] for name in values)
    shown = {metric: values[metric]}
    for kind in kinds:  # the first three of each kind are its overall values
        names = [name for name in values if name.startswith(f"{kind}/")]
        shown |= {name: values[name] for name in names[:3]}
    text = "  ".join(f"{name} {show_value(value)}" for name, value in shown.items())
    return f"evaluation: {text}  (best {metric} {show_value(best.get(metric, math.nan))})"


def _milliseconds(seconds: Any) -> str:
    return f"{1000 * float(seconds):.0f} ms"
