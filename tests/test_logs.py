from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from detzoo.errors import DataError
from detzoo.logs import divergence, draw_curves, epoch_times, other_spelling, plot_curves, read_log

OURS = [
    {"kind": "train", "iteration": 5, "epoch": 0.5, "loss": 3.0, "step_time": 0.2},
    {"kind": "train", "iteration": 10, "epoch": 1.0, "loss": 2.0, "step_time": 0.4},
    {"kind": "val", "iteration": 10, "bbox/AP": 0.1},
    {"kind": "train", "iteration": 20, "epoch": 2.0, "loss": None, "step_time": 0.1},
]
THEIRS = [
    {"env_info": "...", "seed": 0, "exp_name": "x.py"},
    {"mode": "train", "epoch": 1, "iter": 50, "loss": 3.0, "time": 0.5},
    {"mode": "train", "epoch": 1, "iter": 100, "loss": 2.0, "time": 0.3},
    {"mode": "val", "epoch": 1, "iter": 7, "bbox_mAP": 0.1, "bbox_mAP_copypaste": "0.1 0.2"},
    {"mode": "train", "epoch": 2, "iter": 50, "loss": 1.0, "time": 0.1},
]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_our_log(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "run-1" / "metrics.jsonl", OURS).parent)
    assert log.name == "run-1"
    assert log.keys == ("loss", "step_time", "bbox/AP")
    assert log.curve("loss", "epoch") == ([0.5, 1.0], [3.0, 2.0])  # the lost one is left out
    assert log.curve("bbox/AP", "iteration") == ([10.0], [0.1])
    assert log.curve("bbox/AP", "epoch") == ([1.0], [0.1])
    times = epoch_times(log)
    assert times.mean == pytest.approx(0.7 / 3)
    assert times.slowest == (1, pytest.approx(0.3))
    assert times.fastest == (2, pytest.approx(0.1))


def test_their_log(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "20200130.log.json", THEIRS))
    assert log.name == "20200130"
    assert log.curve("loss", "iteration") == ([50.0, 100.0, 150.0], [3.0, 2.0, 1.0])
    assert log.curve("loss", "epoch") == ([0.5, 1.0, 1.5], [3.0, 2.0, 1.0])
    assert log.curve("bbox_mAP", "epoch") == ([1.0], [0.1])
    assert epoch_times(log).slowest == (1, pytest.approx(0.4))


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_curves_of_several_runs(tmp_path: Path, suffix: str) -> None:
    logs = [
        read_log(write(tmp_path / "run-1" / "metrics.jsonl", OURS)),
        read_log(write(tmp_path / "old.log.json", THEIRS)),
    ]
    out = tmp_path / f"curves.{suffix}"
    draw_curves(logs, ["loss"], "epoch", out)
    data = out.read_bytes()
    assert data.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")
    assert len(data) > 5000


def test_metrics_have_an_axis_of_their_own_beside_losses(tmp_path: Path) -> None:
    """Under the name of either toolbox."""
    ours = read_log(write(tmp_path / "run-1" / "metrics.jsonl", OURS))
    theirs = read_log(write(tmp_path / "old.log.json", THEIRS))
    for key in ("bbox/AP", "bbox_mAP"):
        figure = plot_curves([ours, theirs], ["loss", key], "epoch", title="both")
        left, right = figure.axes
        assert (left.get_title(), left.get_xlabel()) == ("both", "epoch")
        assert (left.get_ylabel(), right.get_ylabel()) == ("loss", key)
        assert [list(line.get_ydata()) for line in left.lines] == [[3.0, 2.0], [3.0, 2.0, 1.0]]
        assert [list(line.get_ydata()) for line in right.lines] == [[0.1], [0.1]]
        legend = left.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.texts] == [
            *("run-1: loss", f"run-1: {key}", "old: loss", f"old: {key}"),
        ]
        colors = {line.get_color() for axes in figure.axes for line in axes.lines}
        assert len(colors) == 4
    (alone,) = plot_curves([ours], ["bbox/AP"], "epoch").axes
    assert alone.get_ylabel() == "bbox/AP"


def test_curves_are_smoothed(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "old.log.json", THEIRS))
    (axes,) = plot_curves([log], ["loss"], "epoch", smooth=2).axes
    assert list(axes.lines[0].get_ydata()) == [3.0, 2.5, 1.5]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("bbox/AP", "bbox_mAP"), ("segm/AP50", "segm_mAP_50"), ("bbox/APs", "bbox_mAP_s")],
)
def test_names_of_metrics(ours: str, theirs: str) -> None:
    assert other_spelling(ours) == theirs
    assert other_spelling(theirs) == ours
    assert other_spelling("loss") == "loss"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "metrics.jsonl", OURS))
    with pytest.raises(DataError, match=r"metrics\.jsonl: has no 'los'; it has loss, step_time"):
        log.curve("los", "epoch")
    with pytest.raises(DataError, match=r"nowhere: no such file"):
        read_log(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is not a training log"):
        read_log(write(tmp_path / "other.json", [{"a": 1}]))
    with pytest.raises(DataError, match=r"curves\.doc: cannot be written"):
        draw_curves([log], ["loss"], "epoch", tmp_path / "curves.doc")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"kind": "train"\n{"kind": "val"}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl: line 1 is not valid JSON"):
        read_log(broken)


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "other", "iteration": 1},
        {"kind": "train", "epoch": 1.0},
        {"kind": "train", "iteration": None},
        {"kind": "train", "iteration": "5"},
        {"kind": "train", "iteration": -1},
        {"kind": "train", "iteration": math.nan},
        {"kind": "train", "iteration": 10**400},
        {"kind": "train", "iteration": 1, "epoch": [1]},
        {"kind": "train", "iteration": 1, "epoch": math.inf},
        {"mode": "train", "epoch": 1},
        {"mode": "train", "epoch": "1", "iter": 50},
        {"mode": "val", "epoch": {}, "iter": 50},
    ],
)
def test_records_without_a_place(tmp_path: Path, row: dict[str, object]) -> None:
    first = OURS[0] if "kind" in row else THEIRS[1]
    with pytest.raises(DataError, match=r"log\.json: line 2 lacks the kind"):
        read_log(write(tmp_path / "log.json", [first, row]))


def test_odd_values_are_kept(tmp_path: Path) -> None:
    row = {**OURS[0], "loss": math.nan, "huge": 10**400, "step_time": math.inf, "list": [1]}
    log = read_log(write(tmp_path / "log.json", [row, OURS[1], {"mode": "train"}][:2]))
    assert math.isnan(log.records[0].values["loss"])
    assert log.records[0].values["huge"] == math.inf
    assert "list" not in log.keys
    assert epoch_times(log).mean == 0.4  # of the finite ones


def test_lines_of_v2_without_an_epoch_are_left_out(tmp_path: Path) -> None:
    """As its own tools/analysis_tools/analyze_logs.py does."""
    log = read_log(write(tmp_path / "x.log.json", [*THEIRS, {"mode": "val", "seed": 1}]))
    assert len(log.records) == 4


@pytest.mark.parametrize("line", ['{"kind": ' + "9" * 5000 + "}", "[" * 100_000])
def test_lines_that_no_reader_takes(tmp_path: Path, line: str) -> None:
    (tmp_path / "log.json").write_text(f"{line}\n{json.dumps(OURS[0])}\n")
    with pytest.raises(DataError, match=r"log\.json: line 1 cannot be read"):
        read_log(tmp_path / "log.json")


def test_a_line_that_was_not_finished_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.jsonl", OURS)
    path.write_text(path.read_text() + '{"kind": "tr')
    assert len(read_log(path).records) == 4


@pytest.mark.parametrize(
    ("losses", "ran_away"),
    [
        ([3.0, 2.0], False),
        ([3.0, 2e14], True),
        ([2e14, 1e14], True),
        ([0.01, 2.0], False),  # worse than at the start, but still a loss
        ([900.0, 5000.0], False),
        ([3.0, 101.0], True),
        ([3.0, None, 2e14], True),
        ([None], False),
        ([], False),
    ],
)
def test_a_loss_that_ran_away(tmp_path: Path, losses: list[float | None], ran_away: bool) -> None:
    rows = [{"kind": "train", "iteration": i, "loss": loss} for i, loss in enumerate(losses, 1)]
    log = read_log(write(tmp_path / "metrics.jsonl", [*rows, {"kind": "val", "iteration": 9}]))
    text = divergence(log)
    assert (text is not None) is ran_away
    if text is not None:
        assert "the training diverged" in text
