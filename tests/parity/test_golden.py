"""One reference of each model type, kept in the repository, and those in float64."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo import zoo
from tests.marks import ON_CI
from tests.parity.check import check_names, check_numbers
from tests.parity.compare import Finding
from tests.parity.reference import Reference

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.npz"))
IN_DOUBLE = sorted((Path(__file__).parent.parent / "golden" / "float64").glob("*.npz"))

# A layer of 100 million parameters, 600 queries in six stages, masks of 1203 classes: these alone
# would make the default tests take 3.3 GB instead of 2.6. CI runs them.
LARGE = (
    "faster_rcnn__faster_rcnn_r50_caffe_dc5_1x_coco",
    "queryinst__queryinst_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
    "seesaw_loss__mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1",
)
MARKED = [
    pytest.param(path, id=path.stem, marks=ON_CI if path.stem in LARGE else ()) for path in GOLDEN
]


def _failures(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.passed]


@pytest.mark.parametrize("path", MARKED)
def test_numbers_are_those_of_mmdetection(path: Path) -> None:
    reference = Reference.read(path)
    experiment = zoo.find(reference.entry_name).experiment
    findings = [check_names(experiment, reference), *check_numbers(experiment, reference)]
    compared = {"backbone", "features", "detections"}
    if "loss_error" not in reference:
        compared |= {"losses", "gradients"}
    assert compared <= {finding.what for finding in findings}
    assert not _failures(findings)


@pytest.mark.slow
@pytest.mark.parametrize("path", IN_DOUBLE, ids=lambda path: path.stem)
def test_numbers_in_float64(path: Path) -> None:
    """Far closer than float32 could be: no tie, no rounding hides a difference."""
    reference = Reference.read(path)
    assert reference.is_double
    findings = check_numbers(zoo.find(reference.entry_name).experiment, reference)
    assert {"losses", "gradients"} <= {finding.what for finding in findings}
    assert not _failures(findings)
    exact = [f for f in findings if f.what in ("losses", "gradients")]
    assert max(finding.deviation for finding in exact) < 1e-6
