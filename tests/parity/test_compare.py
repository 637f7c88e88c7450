"""The comparison itself: what deviates must fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.parity.__main__ import main
from tests.parity.compare import (
    compare_detections,
    compare_features,
    compare_gradients,
    compare_losses,
    compare_mask_areas,
    match_detections,
)

SUMMARY = np.array([[0.1, 2.0, 1.0, -3.0], [0.0, 0.5, 0.2, 0.3]])


def _rows(count: int = 100) -> np.ndarray:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 200, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(20, 60, (count, 2))], 1)
    scores = np.sort(rng.uniform(0.1, 1, count))[::-1]
    return np.concatenate([rng.integers(0, 5, (count, 1)), scores[:, None], boxes], 1)


def test_features_are_measured_in_standard_deviations() -> None:
    assert compare_features("features", SUMMARY, SUMMARY).passed
    slightly = SUMMARY + [[0, 0, 1.9e-4, 0], [0, 0, 0, 0]]
    assert compare_features("features", slightly, SUMMARY).passed
    more = SUMMARY + [[0, 0, 0, 0], [0, 0, 1e-4, 0]]
    assert not compare_features("features", more, SUMMARY).passed
    assert not compare_features("features", SUMMARY * np.nan, SUMMARY).passed
    assert not compare_features("features", SUMMARY[:1], SUMMARY).passed


def test_losses_are_compared_by_name_and_relative() -> None:
    assert compare_losses({"loss": 1.0005}, {"loss": 1.0}).passed
    assert not compare_losses({"loss": 1.002}, {"loss": 1.0}).passed
    assert not compare_losses({"loss": float("nan")}, {"loss": 1.0}).passed
    assert not compare_losses({"loss": 1.0, "loss_extra": 0.0}, {"loss": 1.0}).passed


def test_gradients_need_the_same_parameters_and_norms() -> None:
    theirs = {"a": 1.0, "b": 1e-3, "tiny": 1e-9}
    assert compare_gradients({"a": 1.009, "b": 1e-3, "tiny": 5e-9}, theirs).passed
    assert not compare_gradients({"a": 1.0, "b": 1.02e-3, "tiny": 1e-9}, theirs).passed
    assert not compare_gradients({"a": 1.0, "b": 1e-3, "tiny": 2e-8}, theirs).passed
    assert not compare_gradients({"a": 1.0, "b": 1e-3}, theirs).passed


def test_detections_match_one_to_one_in_both_directions() -> None:
    rows = _rows()
    assert compare_detections("detections", rows[::-1], rows).passed
    one_off, two_off = rows.copy(), rows.copy()
    one_off[3, 0] += 1
    two_off[3:5, 0] += 1
    assert compare_detections("detections", one_off, rows).passed
    assert not compare_detections("detections", two_off, rows).passed
    twice = rows.copy()
    twice[50:] = twice[:50]  # each partner counts once
    assert not compare_detections("detections", twice, rows).passed
    assert not compare_detections("detections", rows[:-2], rows).passed
    assert not compare_detections("detections", rows[:0], rows).passed
    assert compare_detections("detections", rows[:0], rows[:0]).passed


def test_mask_areas_follow_the_matched_rows() -> None:
    rows, areas = _rows(10), np.arange(10) * 100 + 500
    pairs, _ = match_detections(rows[::-1], rows)
    assert compare_mask_areas(areas[::-1], areas, pairs).passed
    assert not compare_mask_areas(areas, areas, pairs).passed


def test_command_fails_for_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    golden = Path(__file__).parent.parent / "golden" / "rpn__rpn_r50_fpn_1x_coco.npz"
    (tmp_path / golden.name).write_bytes(golden.read_bytes())
    index = {"rpn/rpn_r50_fpn_2x_coco": golden.name, "rpn/no_such_entry": golden.name}
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert main([str(tmp_path), "--names", "mask_rcnn/*"]) == 1
    report = tmp_path / "report.json"
    assert main([str(tmp_path), "--json", str(report)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pass  rpn/rpn_r50_fpn_2x_coco")
    assert lines[1].startswith("FAIL  rpn/no_such_entry")
    assert lines[-1].startswith("2 configurations, 1 models compared: 2 passed, 1 failed")
    assert not json.loads(report.read_text())["rpn/no_such_entry"][0]["passed"]
