"""All checks of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from detzoo.checks.boxes import check_boxes
from detzoo.checks.classes import (
    check_classes,
    check_classes_of_splits,
    check_empty_images,
    check_ignored,
)
from detzoo.checks.duplicates import check_duplicates
from detzoo.checks.entries import check_entries
from detzoo.checks.finding import SEVERITIES, Finding, Split
from detzoo.checks.images import check_files, read_files, true_sizes
from detzoo.checks.masks import check_masks
from detzoo.checks.similar import check_similar

# Of annotations alone: no image is opened.
CHECKS = (
    check_entries,
    check_boxes,
    check_ignored,
    check_masks,
    check_duplicates,
    check_classes,
    check_empty_images,
)


def check_annotations(splits: Sequence[Split]) -> list[Finding]:
    """What is found in the annotations of all ``splits``, worst first."""
    findings = [finding for split in splits for check in CHECKS for finding in check(split)]
    return worst_first([*findings, *check_classes_of_splits(splits)])


def check_all(
    splits: Sequence[Split], progress: Callable[[], object] = lambda: None
) -> list[Finding]:
    """What is found in annotations and images of all ``splits``, worst first.

    Decodes every image; ``progress`` is called after each.
    """
    files = [read_files(split.dataset, progress) for split in splits]
    splits = [
        replace(split, true_sizes=true_sizes(split.dataset, of)) for split, of in zip(splits, files)
    ]
    findings = [finding for split, of in zip(splits, files) for finding in check_files(split, of)]
    return worst_first([*findings, *check_similar(splits, files), *check_annotations(splits)])


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """By severity, then by how many places there are."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.count))
