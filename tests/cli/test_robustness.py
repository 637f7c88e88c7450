"""mPC and rPC, and the command that measures them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detzoo.analyze.robustness import Robustness
from detzoo.data.transforms.corrupt import Corruption
from detzoo.evaluate.metrics import Metrics
from tests.cli.conftest import Run, assert_refused


def metrics(ap: float, ap50: float) -> Metrics:
    return Metrics({"bbox/AP": ap, "bbox/AP50": ap50, "bbox/APs": float("nan")}, "bbox/AP")


def robustness() -> Robustness:
    found = Robustness()
    found.add(None, metrics(0.5, 0.8))
    values: dict[tuple[Corruption, int], tuple[float, float]] = {
        ("fog", 1): (0.4, 0.7),
        ("fog", 2): (0.2, 0.5),
        ("snow", 1): (0.1, 0.2),
        ("snow", 2): (0.0, 0.1),
        ("saturate", 1): (0.5, 0.8),  # not one of the benchmark's
        ("saturate", 2): (0.5, 0.8),
    }
    for step, (ap, ap50) in values.items():
        found.add(step, metrics(ap, ap50))
    return found


def test_means() -> None:
    found = robustness()
    assert found.averaged == ("fog", "snow")
    # Mean over severities, then over corruptions.
    assert found.mean() == pytest.approx(
        {"bbox/AP": (0.3 + 0.05) / 2, "bbox/AP50": (0.6 + 0.15) / 2}
    )
    assert found.relative() == pytest.approx({"bbox/AP": 0.35, "bbox/AP50": 0.46875})


def test_extra_corruptions_alone() -> None:
    found = robustness()
    found.values = {s: v for s, v in found.values.items() if s is None or s[0] == "saturate"}
    assert found.averaged == ("saturate",)
    assert found.relative() == pytest.approx({"bbox/AP": 1, "bbox/AP50": 1})


def test_files_keep_everything() -> None:
    found = robustness()
    content = json.loads(json.dumps(found.to_json()))
    assert Robustness.from_json(content) == found
    assert content["mPC"]["bbox/AP"] == pytest.approx(0.175)


def test_the_command(detzoo: Run, mask_rcnn: Path, scenes: Path) -> None:
    pytest.importorskip("imagecorruptions")
    base = ("robustness", mask_rcnn, "--data", scenes, "-o", "r.json")
    more = ("--workers", 0, "--device", "cpu", "--corruptions", "contrast,saturate")
    outcome = detzoo(*base, *more, "--severities", "5")
    assert outcome.code == 0, outcome
    assert "clean: bbox/AP " in outcome.out
    assert "contrast, severity 5: bbox/AP " in outcome.out
    assert "mPC 0." in outcome.out
    first = json.loads(Path("r.json").read_text())
    assert list(first["corrupted"]) == ["contrast", "saturate"]
    clean = detzoo("test", mask_rcnn, "--data", scenes, "--workers", 0, "--json", "clean.json")
    assert clean.code == 0, clean
    expected = json.loads(Path("clean.json").read_text())["metrics"]
    for name, value in first["clean"].items():
        assert value == expected[name]

    # It goes on where it was.
    del first["corrupted"]["saturate"]
    Path("r.json").write_text(json.dumps(first))
    outcome = detzoo(*base, *more, "--severities", "5")
    assert [line.split(",")[0] for line in outcome.out.splitlines() if ", severity" in line] == [
        "saturate"
    ]


def test_what_is_refused(detzoo: Run, mask_rcnn: Path, scenes: Path) -> None:
    pytest.importorskip("imagecorruptions")
    base = ("robustness", mask_rcnn, "--data", scenes)
    assert_refused(detzoo(*base, "-o", "r.json", "--corruptions", "fog,rain"), "'rain'", "weather")
    assert_refused(detzoo(*base, "-o", "r.json", "--severities", "0,1"), "--severities 0,1")
    assert_refused(detzoo(*base, "-o", "no/r.json"), "--out no/r.json")
    assert not Path("r.json").exists()
    Path("r.json").write_text("[]")
    assert_refused(detzoo(*base, "-o", "r.json"), "is no file of detzoo robustness")
    about = {"model": ["other.pt", None], "data": ["x", None]}
    Path("r.json").write_text(json.dumps({**about, **robustness().to_json()}))
    assert_refused(detzoo(*base, "-o", "r.json"), "has the metrics of other.pt on x")
    assert json.loads(Path("r.json").read_text())["model"] == ["other.pt", None]
