from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.locate import open_dataset
from detzoo.evaluate import Metrics
from detzoo.logs import read_log
from detzoo.quickstart.report import report
from detzoo.quickstart.run import run
from detzoo.quickstart.scenes import CLASSES, draw_scene, write_scenes


def test_scenes_are_a_data_set(tmp_path: Path) -> None:
    write_scenes(tmp_path, "train", 12, size=96)
    data = open_dataset(tmp_path, "train")
    assert data.class_names == CLASSES
    assert len(data) == 12
    assert data.has_masks
    assert set(data.annotations.labels.tolist()) == {0, 1, 2, 3}
    for i in range(len(data)):
        sample = data.sample(i, "bitmap")
        assert sample.image.shape == (96, 96, 3)
        assert len(sample.targets) >= 1
        assert sample.targets.masks is not None
        # Masks are rasterised to whole pixels, boxes are not.
        around = sample.targets.masks.boxes()  # type: ignore[attr-defined]
        assert (around - sample.targets.boxes).abs().max() <= 1.0
        assert sample.targets.boxes.min() >= 0
        assert sample.targets.boxes.max() <= 96


def test_what_is_drawn_is_where_the_polygon_is() -> None:
    """Inside a shape there is one colour but for noise, and another one outside."""
    picture, shapes = draw_scene(np.random.default_rng(3), 160)
    label, polygon = shapes[0]
    inside = np.zeros((160, 160), np.uint8)
    cv2.fillPoly(inside, [polygon.astype(np.int32)], 1)
    core = cv2.erode(inside, np.ones((5, 5), np.uint8)).astype(bool)
    assert core.sum() > 50
    assert picture[core].std(0).max() < 10
    ring = cv2.dilate(inside, np.ones((9, 9), np.uint8)).astype(bool)
    ring &= ~cv2.dilate(inside, np.ones((5, 5), np.uint8)).astype(bool)
    assert np.abs(picture[ring].mean(0) - picture[core].mean(0)).max() > 40
    assert CLASSES[label]


def test_scenes_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scenes(tmp_path / name, "train", 3, size=64, seed=5)
    for file in ("annotations/train.json", "train/0003.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    write_scenes(tmp_path / "c", "train", 3, size=64, seed=6)
    file = "train/0003.png"
    assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Metrics]:
    """The whole quickstart, with little to learn from."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("quickstart") / "run"
    metrics = run(folder, torch.device("cpu"), scenes=8, held_out=4, epochs=1)
    return folder, metrics


def test_everything_is_written(small: tuple[Path, Metrics]) -> None:
    folder, metrics = small
    assert (folder / "detector.pt").is_file()
    assert len(list((folder / "pictures").glob("*.jpg"))) == 4
    written = json.loads((folder / "metrics.json").read_text())
    assert set(written["metrics"]) == set(metrics.values)
    assert {"bbox/AP", "segm/AP"} <= set(metrics.values)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_stands_alone(small: tuple[Path, Metrics]) -> None:
    folder, metrics = small
    page = (folder / "report.html").read_text()
    links = _Links()
    links.feed(page)
    assert len(links.sources) == 8  # of each scene its shapes, and what was detected
    assert all(source.startswith("data:image/jpeg;base64,") for source in links.sources)
    counts = [len(open_dataset(folder / "data", "test").sample(i).targets) for i in range(4)]
    shown = re.findall(r"<figcaption>scene \d+: (\d+) shapes?</figcaption>", page)
    assert [int(count) for count in shown] == counts
    assert len(re.findall(r"<figcaption>\d+ detected</figcaption>", page)) == 4
    assert "svg" in links.tags
    assert f"<td>{metrics['bbox/AP']:.3f}</td>" in page
    assert all(name in page for name in CLASSES)


def test_nothing_is_written_over(small: tuple[Path, Metrics]) -> None:
    folder, _ = small
    before = (folder / "report.html").read_bytes()
    with pytest.raises(ConfigError, match="earlier quickstart"):
        run(folder, torch.device("cpu"))
    assert (folder / "report.html").read_bytes() == before


def test_the_report_shows_what_was_measured(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text(
        '{"kind": "val", "iteration": 1, "epoch": 1}\n'
        '{"kind": "train", "iteration": 1, "epoch": 1, "loss": 2}\n'
    )
    nan = float("nan")
    values = {"bbox/AP": 0.25, "bbox/APl": nan, "segm/AP": nan, "segm/APl": nan}
    metrics = Metrics(values, "bbox/AP", {"bbox/AP": {"<b>": 0.5}})
    page = report(metrics, [], read_log(tmp_path), ["1 < 2"]).to_html()
    assert "&lt;b&gt;" in page
    assert "1 &lt; 2" in page
    assert "<td>0.250</td><td>-</td>" in page
    assert "APl" not in page  # nothing has one
    assert "<td>0.500</td>" in page
