"""The section of ``docs/benchmarks.md``: a row per family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.learning.families import SLOW

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

TITLE = "Every family learns"
TEXT = """\
One zoo entry per family, plus a few variants, narrowed and trained from scratch by `detzoo.train`
with its own losses and assigner (`python -m benchmarks.learning`). *By heart*: eight fixed scenes
of the quickstart at 128 pixels, with the recipe's optimizer and learning-rate schedule; the target
is an AP50 above 0.9 on these same scenes, for boxes and masks. *In general*: 1600 scenes with
random flips, AdamW at 0.001 for all, evaluated every 250 steps on 60 scenes that were held out; a
run ends at the first evaluation with an AP50 of 0.5, the target, and after 2000 steps at the
latest. For mask grids, whose boxes are those around their masks, the masks count. Heads of queries,
corners and center heatmaps, whose recipes take 36 to 210 epochs of COCO instead of 12, have no
target: their losses are in the second table. Seconds are those of one core, in general with the
evaluations. Changed for all: a quarter of the width; ResNets with 18 layers, or one bottleneck per
stage; towers of two convolutions, decoders of three layers; at most 64 sampled regions and 50
queries; nothing is frozen, all norms are trained, no dropout, no weight averaging; gradients are
clipped at a norm of 10 unless the recipe clips them; the learning rate is scaled to the batch size,
with a tenth of the steps as warmup."""


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
