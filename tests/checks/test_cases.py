"""Faults as real sets have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from detzoo.checks.finding import Split
from detzoo.checks.run import check_all
from detzoo.data.locate import open_dataset
from detzoo.data.writers import convert
from tests.checks.planted import box, plant
from tests.shared import shared


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("out_of_image", "box-outside-image"),
        ("xyxy_boxes", "corners-as-size"),
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


def test_a_folder_of_voc_that_declares_wrong_sizes(tmp_path: Path) -> None:
    """As annotation tools write it that resize images for display."""
    objects = [box(1, 2, 30, 20, image=k, iscrowd=0) for k in range(1, 31)]
    convert({"train": plant(tmp_path / "in", objects, images=30).dataset}, "voc", tmp_path / "out")
    for k in range(1, 30):
        file = tmp_path / "out" / "Annotations" / f"{k}.xml"
        file.write_text(file.read_text().replace("<width>80</width>", "<width>640</width>"))
    split = Split("train", open_dataset(tmp_path / "out", "train", check=False))
    (finding,) = (one for one in check_all([split]) if one.is_fault)
    assert finding.kind == "wrong-size"
    assert finding.title == "images of another size than declared: 29 of 30"
    assert finding.places[0].note == "declared 640 x 60, is 80 x 60"
