"""Faults as real sets have them."""

from __future__ import annotations

import pytest

from detzoo.checks.finding import Split
from detzoo.checks.run import check_all
from detzoo.data.locate import open_dataset
from tests.shared import shared


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("out_of_image", "box-outside-image"),
        ("xyxy_boxes", "corners-as-size"),
        ("normalised_boxes", "normalized-boxes"),
        ("all_crowd_cvat_masks", "all-ignored"),
        ("mixed_masks", "mask-missing"),
        ("missing_one_image", "image-missing"),
        ("swapped_wh", "wrong-size"),
        ("voc_size_wrong", "wrong-size"),
        ("neg_width", "box-under-a-pixel"),
    ],
)
def test_cases(case: str, kind: str) -> None:
    folder = shared("cases", "datasets", case)
    findings = check_all([Split("train", open_dataset(folder, "train", check=False))])
    assert kind in [finding.kind for finding in findings if finding.is_fault], findings
