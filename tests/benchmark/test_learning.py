"""One family per kind of head learns eight scenes by heart; the benchmark does so for all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.learning.families import CASES, GRID, QUERIES
from benchmarks.learning.general import is_learned
from benchmarks.learning.heart import MOST_SECONDS, by_heart, is_known, learn_by_heart
from benchmarks.learning.narrow import changes, narrow_experiment
from detzoo import zoo
from detzoo.config import leaves
from tests.marks import ON_CI

BY_NAME = {case.name: case for case in CASES}
# A dense head with anchors and one with points, regions with masks, a cascade, queries, corners, a
# grid of masks, YOLO.
KINDS = (
    "atss",
    "fcos",
    "mask_rcnn",
    "cascade_rcnn",
    "detr",
    "cornernet",
    "solo",
    "yolo",
)


@pytest.mark.parametrize("name", [pytest.param(name, marks=ON_CI) for name in KINDS])
def test_by_heart(name: str, tmp_path: Path) -> None:
    result = learn_by_heart(BY_NAME[name], tmp_path)
    # The time that the benchmark demands is of a quiet core; tests share theirs.
    assert is_known({"heart": result}, 2 * MOST_SECONDS), {
        key: result[key] for key in ("box_ap50", "mask_ap50", "seconds")
    }


def test_every_family_has_a_case() -> None:
    families = {zoo.family_of(zoo.find(case.entry)).folder for case in CASES}
    assert families == {family.folder for family in zoo.families()}


def test_what_is_kept_of_a_recipe() -> None:
    original = zoo.find("mask_rcnn_r50_fpn_1x_coco").experiment
    narrow = by_heart(BY_NAME["mask_rcnn"])
    losses = [path for path, _ in leaves(original) if "loss" in path or "assigner" in path]
    assert losses
    kept = dict(leaves(narrow))
    assert all(kept[path] == value for path, value in leaves(original) if path in losses)
    assert type(narrow.optimizer) is type(original.optimizer)


def test_changes_name_what_is_special() -> None:
    original = zoo.find("retinanet_r50_fpn_1x_coco").experiment
    narrow = narrow_experiment(original, augment=False)
    assert changes(original, narrow) == []
    faster = dataclasses.replace(narrow, optimizer=dataclasses.replace(narrow.optimizer, lr=0.5))
    assert changes(original, faster) == ["optimizer.lr: 0.01 -> 0.5"]


@pytest.mark.parametrize(
    ("box_ap50", "mask_ap50", "head", "expected"),
    [
        (0.5, None, "regions", True),
        (0.49, None, "regions", False),
        (0.8, 0.49, "regions, masks", False),
        (0.1, None, QUERIES, True),
        (0.4, 0.5, GRID, True),
        (0.5, 0.4, GRID, False),
    ],
)
def test_bar_in_general(
    box_ap50: float, mask_ap50: float | None, head: str, expected: bool
) -> None:
    result = {"box_ap50": box_ap50, "mask_ap50": mask_ap50}
    assert is_learned({"head": head, "general": result}) is expected


def test_only_a_number_of_samples_of_its_own_is_a_change() -> None:
    assert "sampler.num: 512 -> 32" in changes(
        zoo.find(BY_NAME["groie"].entry).experiment, by_heart(BY_NAME["groie"])
    )


def test_no_anchor_is_left_out_of_a_single_level() -> None:
    """Untrained anchors keep a score of one half, and would be all that is proposed."""
    for name in ("c4", "dc5"):
        assert by_heart(BY_NAME[name]).model.rpn_head.border is None  # type: ignore[attr-defined]
