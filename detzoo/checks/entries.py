"""Entries of annotations, and images, that a data set was opened without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detzoo.checks.finding import Finding, Split, tally
from detzoo.data.reading import Fault, FaultKind
from detzoo.errors import DataError

_WHAT: dict[FaultKind, tuple[str, str]] = {
    "annotation-unreadable": (
        "entries of annotations that cannot be read",
        "Training is refused until they are corrected or removed.",
    ),
    "image-missing": (
        "missing images",
        "Restore them, correct their names, or remove them from the annotations.",
    ),
    "image-unreadable": (
        "unreadable images",
        "Replace them, or remove them from the annotations.",
    ),
}


def check_entries(split: Split) -> Iterator[Finding]:
    """What could not be read when the split was opened, by kind."""
    for kind, (what, advice) in _WHAT.items():
        texts = tuple(fault.text for fault in split.faults if fault.kind == kind)
        if texts:
            title = tally(what, len(texts))
            yield Finding(kind, "error", split.name, title, advice, messages=texts)


def unopened(name: str, error: DataError, faults: Sequence[Fault]) -> Finding:
    """That the split ``name`` cannot be opened at all, and what could not be read before that."""
    return Finding(
        "annotation-unreadable",
        "error",
        name,
        "cannot be opened",
        "It is not checked any further. Correct its annotations.",
        messages=(str(error), *(fault.text for fault in faults)),
    )
