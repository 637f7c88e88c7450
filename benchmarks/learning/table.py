"""The section of ``docs/benchmarks.md``: a row per family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

TITLE = "Every family learns"
TEXT = """\
One entry of the zoo per family, and a few variants, made narrow and trained from scratch with its
own losses, assigner, optimizer and course of the learning rate, by `detzoo.train`
(`python -m benchmarks.learning`). *By heart*: eight of the quickstart's scenes, 128 pixels, always
the same; AP50 on these, of boxes and masks. *In general*: 400 scenes, mirrored at random, and 60
held out. Seconds are those of one core, for training alone. Changed everywhere: widths are a
quarter, ResNets have 18 layers or one bottleneck per stage, towers two convolutions, decoders three
layers, at most 64 regions are sampled and 50 queries asked; nothing is frozen, all norms learn,
nothing is dropped out, no averaged weights, gradients clipped at a norm of 10 where the recipe does
not; the learning rate is that of the given batch, its warm-up a tenth of the steps."""


def body(result: dict[str, Any], table: Table) -> str:
    """Both bars, and what was changed for a family alone."""
    head = ("family", "entry", "head", "parameters", "by heart", "steps", "seconds", "in general")
    return table((*head, "steps", "seconds", "changed"), map(_row, result["rows"]))


def _row(row: dict[str, Any]) -> Sequence[str]:
    heart, general = row.get("heart"), row.get("general")
    parameters, changed = "", ""
    if heart is not None:
        parameters = f"{heart['parameters'] / 1e6:.1f} M"
        changed = "; ".join(heart["changes"])
    return (
        row["name"],
        f"`{row['entry']}`",
        row["head"],
        parameters,
        *_cells(heart),
        *_cells(general),
        changed,
    )


def _cells(result: dict[str, Any] | None) -> tuple[str, str, str]:
    """AP50, steps x images, seconds."""
    if result is None:
        return "", "", ""
    masks = "" if result["mask_ap50"] is None else f", {result['mask_ap50']:.2f}"
    return (
        f"{result['box_ap50']:.2f}{masks}",
        f"{result['steps']} x {result['batch']}",
        f"{result['seconds']:.0f}",
    )
