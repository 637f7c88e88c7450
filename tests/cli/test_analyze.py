"""``detzoo analyze`` and ``detzoo compare`` as a user runs them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detzoo.checkpoints import checkpoint
from tests.analyze.scenes import NUM_IMAGES, coco
from tests.cli.conftest import Run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """annotations.json, images and found.json."""
    content, found = coco(crowds=0.1, masks=True)
    for image in content["images"]:
        image["file_name"] = f"{image['id']}.png"
        pixels = np.full((image["height"], image["width"], 3), 120, np.uint8)
        cv2.imwrite(str(tmp_path / image["file_name"]), pixels)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path


def test_a_report(detzoo: Run, data: Path) -> None:
    arguments = ("--data", data / "annotations.json", "--images", data, "--resamples", 10)
    outcome = detzoo("analyze", data / "found.json", *arguments, "--out", data / "report")
    assert outcome.code == 0, outcome
    assert "best threshold" in outcome.out
    report = data / "report"
    figures = json.loads((report / "analysis.json").read_text())
    assert figures["kind"] == "segm"
    with open(report / "metrics.csv", newline="") as file:
        metrics = {row["metric"]: float(row["value"]) for row in csv.DictReader(file)}
    scores = data / "scores.json"
    again = detzoo("evaluate", data / "found.json", data / "annotations.json", "--json", scores)
    assert again.code == 0, again
    assert metrics["AP"] == pytest.approx(json.loads(scores.read_text())["metrics"]["segm/AP"])
    page = (report / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") > 8
    assert "What errors cost" in page
    for name in ("precision_recall", "f1", "errors", "reliability", "confusion"):
        assert (report / f"{name}.png").stat().st_size > 1000
        assert (report / f"{name}.svg").is_file()
    with open(report / "images.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == NUM_IMAGES


def test_thresholds_are_stored_and_used(detzoo: Run, tiny: Path, scenes: Path) -> None:
    fast = ("--workers", 0, "--device", "cpu")
    trained = detzoo("train", tiny, "--data", scenes, "--epochs", 1, "--batch-size", 4, *fast)
    assert trained.code == 0, trained
    run = Path("runs/tiny-1/best.pt")
    before = checkpoint.read(run)
    assert detzoo("predict", run, scenes / "val", "--min-score", "auto").code == 2
    stored = detzoo(
        "analyze", run, "--data", scenes, "-o", "r", "--store-thresholds", "--no-pictures", *fast
    )
    assert stored.code == 0, stored
    after = checkpoint.read(run)
    assert after.thresholds is not None
    assert all(torch.equal(before.model[name], after.model[name]) for name in before.model)
    figures = json.loads(Path("r/analysis.json").read_text())
    assert after.thresholds == figures["thresholds"]
    found = detzoo(
        "predict", run, scenes / "val", "--min-score", "auto", "--save", "csv", "--out", "drawn"
    )
    assert found.code == 0, found
    with open("drawn/detections.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["score"]) >= after.thresholds.get(row["class"], 0.3) - 1e-5
    refused = detzoo("analyze", tiny, "--data", scenes, "-o", "r", "--store-thresholds")
    assert refused.code == 2
    assert "--store-thresholds" in refused.error


def test_a_comparison(detzoo: Run, data: Path) -> None:
    found = json.loads((data / "found.json").read_text())
    (data / "fewer.json").write_text(json.dumps(found[::2]))
    arguments = ("--data", data / "annotations.json", "--images", data, "--resamples", 10)
    sources = (data / "found.json", data / "fewer.json")
    outcome = detzoo("compare", *sources, *arguments, "--out", data / "table")
    assert outcome.code == 0, outcome
    assert "| metric |" in outcome.out
    assert (data / "table" / "comparison.tex").read_text().startswith(r"\begin{tabular}")
    assert (data / "table" / "wins.csv").is_file()


def test_a_folder_that_cannot_be_made(detzoo: Run, data: Path) -> None:
    (data / "fewer.json").write_text(json.dumps(json.loads((data / "found.json").read_text())[::2]))
    (data / "file").write_text("")
    where = ("--data", data / "annotations.json", "--images", data, "--resamples", 10)
    sources = (data / "found.json", data / "fewer.json")
    for command in (("compare", *sources), ("analyze", sources[0])):
        outcome = detzoo(*command, *where, "--out", data / "file" / "inside")
        assert outcome.code == 2, outcome
        assert "cannot be written" in outcome.error
        assert "Traceback" not in outcome.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("analyze", "none.json", "--data", "annotations.json", "-o", "r"), "none.json"),
        (("analyze", "found.json", "--data", "nowhere", "-o", "r"), "nowhere"),
        (("analyze", "found.json", "--data", "annotations.json", "-o", "0.png"), "is a file"),
        (
            ("analyze", "found.json", "--data", "annotations.json", "-o", "r", "--type", "mask"),
            "is not one of bbox, segm",
        ),
        (("compare", "found.json", "--data", "annotations.json"), "two or more"),
    ],
)
def test_mistakes(
    detzoo: Run,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(data)
    outcome = detzoo(*arguments)
    assert outcome.code == 2, outcome
    assert message in outcome.error
    assert not (data / "r").exists()
