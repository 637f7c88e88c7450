"""All checks of a data set."""

from __future__ import annotations

from collections.abc import Sequence

from detzoo.checks.boxes import check_boxes
from detzoo.checks.classes import (
    check_classes,
    check_classes_of_splits,
    check_empty_images,
    check_ignored,
)
from detzoo.checks.duplicates import check_duplicates
from detzoo.checks.finding import SEVERITIES, Finding, Split
from detzoo.checks.masks import check_masks

# Of annotations alone: no image is opened.
CHECKS = (
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


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """By severity, then by how many places there are."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -len(f.places)))
