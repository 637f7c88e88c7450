"""Annotations to look at again: where a confident detection and the annotation disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from detzoo.analyze.matches import Matches
from detzoo.analyze.tide import ERRORS, ErrorAnalysis

MEANINGS = {
    "missing": "confident detections where no object is annotated",
    "class": "objects that are confidently detected as another class",
    "box": "objects whose box differs from a confident detection",
}
Kind = Literal["missing", "class", "box"]
_OF_ERROR: dict[str, Kind] = {"Bkg": "missing", "Cls": "class", "Loc": "box"}


@dataclass(frozen=True)
class Suspect:
    """A ``detection`` (its index) that disagrees with an ``object`` (its index; None: with there
    being none)."""

    kind: Kind
    detection: int
    object: int | None


def suspects(matches: Matches, errors: ErrorAnalysis, min_score: float) -> list[Suspect]:
    """Wrong detections from ``min_score`` on, the most confident first.

    Most confident disagreements of a well trained detector are errors of annotation, see Northcutt
    et al., https://arxiv.org/abs/1911.00068; of a poor one they are its own.
    """
    found = []
    for index in np.flatnonzero((matches.score >= min_score) & (errors.kinds >= 0)).tolist():
        kind = _OF_ERROR.get(ERRORS[errors.kinds[index]])
        if kind is None:
            continue
        column = {"missing": None, "class": matches.other, "box": matches.own}[kind]
        found.append(Suspect(kind, index, None if column is None else int(column[index])))
    return found
