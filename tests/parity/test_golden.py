"""One reference of each model type, kept in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo import zoo
from tests.parity.check import check_names, check_numbers
from tests.parity.compare import Finding
from tests.parity.reference import Reference

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.npz"))


def _failures(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.passed]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_numbers_are_those_of_mmdetection(path: Path) -> None:
    reference = Reference.read(path)
    experiment = zoo.find(reference.entry_name).experiment
    findings = [check_names(experiment, reference), *check_numbers(experiment, reference)]
    compared = {"backbone", "features", "detections"}
    if "loss_error" not in reference:
        compared |= {"losses", "gradients"}
    assert compared <= {finding.what for finding in findings}
    assert not _failures(findings)
