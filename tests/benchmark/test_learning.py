"""One family per kind of head learns eight scenes by heart; the benchmark does so for all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.learning.families import CASES
from benchmarks.learning.heart import by_heart, is_known, learn_by_heart
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
    assert is_known(result), {key: result[key] for key in ("box_ap50", "mask_ap50", "seconds")}


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
