"""Our own inference beside that of exported files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import page, runtimes
from benchmarks.runtimes import Contender, measure


def test_ratios_are_to_our_own_of_the_same_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def take(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("benchmarks.runtimes.time.perf_counter", lambda: now)
    runs = [
        Contender("whole", "detzoo", "fp32", lambda: take(4.0)),
        Contender("dense", "detzoo", "fp32", lambda: take(3.0)),
        Contender("whole", "OpenVINO", "int8", lambda: take(2.0)),
        Contender("dense", "OpenVINO", "int8", lambda: take(1.0)),
    ]
    rows = measure(runs, rounds=3)
    assert [row["fastest"] for row in rows] == [4.0, 3.0, 2.0, 1.0]
    assert [row["times_as_fast"]["median"] for row in rows] == [1.0, 1.0, 2.0, 3.0]
    assert {row["seconds"]["count"] for row in rows} == {3}


@pytest.mark.slow
def test_all_of_it(tmp_path: Path) -> None:
    """On small pixels: what is measured is what is written, and becomes a table."""
    threads, file = torch.get_num_threads(), tmp_path / "runtimes.json"
    arguments = ["yolox_s", "--size", "64", "96", "--rounds", "1", "--threads", "1"]
    runtimes.main([*arguments, "--precisions", "fp32", "--json", str(file)])
    torch.set_num_threads(threads)
    rows = json.loads(file.read_text())["rows"]
    assert [(row["part"], row["runtime"]) for row in rows] == [
        (part, runtime)
        for part in ("whole", "dense")
        for runtime in ("detzoo", "ONNX Runtime", "OpenVINO")
    ]
    assert "| `yolox_s_8x8_300e_coco` | 64 x 96 | dense | OpenVINO | fp32 |" in page.page(tmp_path)
