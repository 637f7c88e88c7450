"""What errors cost: TIDE's decomposition (Bolya et al., https://arxiv.org/abs/2008.08115)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detzoo.analyze.curves import average_precision
from detzoo.analyze.matches import Matches

FOREGROUND, BACKGROUND = 0.5, 0.1
# Of detections; objects can only be missed.
ERRORS = ("Cls", "Loc", "Both", "Dupe", "Bkg")
MEANINGS = {
    "Cls": "the right place, another class",
    "Loc": "the right class, an IoU from .1 to .5",
    "Both": "another class, and an IoU from .1 to .5",
    "Dupe": "an object that a higher score has found already",
    "Bkg": "nothing is there",
    "Miss": "an object that no detection would find if it were corrected",
    "FalsePos": "all wrong detections",
    "FalseNeg": "all objects that were not found",
}


@dataclass(frozen=True)
class ErrorAnalysis:
    """AP50 and, by kind of error, how much higher it would be without that kind alone.

    ``kinds`` (D,) is the error of each detection as an index of ``ERRORS``, -1 for none;
    ``is_missed`` (N,) are the objects of the kind Miss. ``counts`` are how many there are.
    """

    ap50: float
    gains: dict[str, float]
    counts: dict[str, int]
    kinds: np.ndarray
    is_missed: np.ndarray


def analyze_errors(matches: Matches) -> ErrorAnalysis:
    """Classifies every wrong detection and missed object, and what correcting each kind gains."""
    kinds = _kinds(matches)
    cls, loc = (kinds == ERRORS.index(name) for name in ("Cls", "Loc"))
    target = np.where(cls, matches.other, np.where(loc, matches.own, -1))
    # Corrected, a detection finds an object that nothing else has found, or that of the highest
    # score among those would; the others of such an object vanish.
    is_free = matches.found_by[target] < 0
    candidates = np.flatnonzero((target >= 0) & is_free)
    fixes = np.zeros(len(kinds), bool)
    fixes[candidates[np.unique(target[candidates], return_index=True)[1]]] = True
    usable = np.zeros(len(matches.objects), bool)
    usable[target[candidates]] = True
    is_missed = (matches.found_by < 0) & ~usable

    base = _ap50(matches, matches.label, matches.is_true, ~matches.is_ignored[0])
    gains = {}
    for k, name in enumerate(ERRORS):
        mine = kinds == k
        label = np.where(mine & fixes, matches.object_label[target], matches.label)
        is_kept = ~matches.is_ignored[0] & ~mine | (mine & fixes)
        gains[name] = _ap50(matches, label, matches.is_true | (mine & fixes), is_kept) - base
    args = matches.label, matches.is_true
    kept = ~matches.is_ignored[0]
    gains["Miss"] = _ap50(matches, *args, kept, is_missed) - base
    gains["FalsePos"] = _ap50(matches, *args, kept & matches.is_true) - base
    gains["FalseNeg"] = _ap50(matches, *args, kept, matches.found_by < 0) - base
    counts = {name: int((kinds == k).sum()) for k, name in enumerate(ERRORS)}
    counts["Miss"] = int(is_missed.sum())
    counts["FalsePos"] = int(matches.is_false.sum())
    counts["FalseNeg"] = int((matches.found_by < 0).sum())
    return ErrorAnalysis(base, gains, counts, kinds, is_missed)


def _kinds(matches: Matches) -> np.ndarray:
    own, other = matches.own_iou, matches.other_iou
    conditions = [
        ~matches.is_false,
        (own >= BACKGROUND) & (own <= FOREGROUND),
        other >= FOREGROUND,
        matches.taken_iou >= FOREGROUND,
        np.maximum(own, other) <= BACKGROUND,
    ]
    names = ("Loc", "Cls", "Dupe", "Bkg")
    choices = [-1, *(ERRORS.index(name) for name in names)]
    return np.select(conditions, choices, ERRORS.index("Both"))


def _ap50(
    matches: Matches,
    label: np.ndarray,
    is_right: np.ndarray,
    is_kept: np.ndarray,
    without: np.ndarray | None = None,
) -> float:
    """AP at an IoU of .5 with other labels and outcomes, and ``without`` some objects; the mean
    over classes that have objects, or detections left after theirs are gone."""
    wanted = np.ones(len(matches.objects), bool) if without is None else ~without
    values = []
    for one in np.unique(matches.object_label).tolist():
        rows = label == one
        count = int((matches.object_label[wanted] == one).sum())
        if count == 0 and not (rows & is_kept).any():
            continue
        ap = average_precision(is_right[None, rows], count, is_kept[None, rows].astype(float))
        values.append(0.0 if count == 0 else float(ap[0]))
    return float(np.mean(values)) if values else float("nan")
