"""The section of ``docs/benchmarks.md``: a row per family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.learning.families import SLOW

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

TITLE = "Every family learns"
TEXT = """\
One entry of the zoo per family, and a few variants, made narrow and trained from scratch with its
own losses, assigner, optimizer and course of the learning rate, by `detzoo.train`
(`python -m benchmarks.learning`). *By heart*: eight of the quickstart's scenes, 128 pixels, always
the same; AP50 on these, of boxes and masks, is to be over 0.9. *In general*: 400 scenes, mirrored
at random, and 60 held out, on which AP50 is to be 0.5; of queries and corners, which take hundreds
of epochs on COCO, the loss on the way is reported instead. Seconds are those of one core, for
training alone. Changed everywhere: widths are a quarter, ResNets have 18 layers or one bottleneck
per stage, towers two convolutions, decoders three layers, at most 64 regions are sampled and 50
queries asked; nothing is frozen, all norms learn, nothing is dropped out, no averaged weights,
gradients clipped at a norm of 10 where the recipe does not; the learning rate is that of the given
batch, its warm-up a tenth of the steps."""


def body(result: dict[str, Any], table: Table) -> str:
    """Both bars, what was changed for a family alone, and the losses of slow heads."""
    head = ("family", "entry", "head", "parameters", "by heart", "steps", "seconds", "in general")
    rows = result["rows"]
    families = table((*head, "steps", "seconds", "changed"), map(_row, rows))
    slow = [row for row in rows if row["head"] in SLOW and "general" in row]
    if not slow:
        return families
    parts = ("a tenth of the steps", "a quarter", "half", "all")
    losses = table(("family", "loss after " + parts[0], *parts[1:]), map(_losses, slow))
    return f"{families}\n\n{losses}"


def _losses(row: dict[str, Any]) -> Sequence[str]:
    curve = row["general"]["curve"]
    points = (curve[round(part * len(curve)) - 1] for part in (0.1, 0.25, 0.5, 1))
    return row["name"], *(f"{loss:.2f}" for _, loss in points)


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
        return "not run", "", ""
    masks = "" if result["mask_ap50"] is None else f", {result['mask_ap50']:.2f}"
    return (
        f"{result['box_ap50']:.2f}{masks}",
        f"{result['steps']} x {result['batch']}",
        f"{result['seconds']:.0f}",
    )
