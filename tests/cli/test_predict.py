from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from detzoo.quickstart.scenes import CLASSES
from tests.cli.conftest import Run, assert_refused

FAST = ("--device", "cpu", "--min-score", 0.0)


def test_pictures_and_json(detzoo: Run, mask_rcnn: Path, scenes: Path) -> None:
    outcome = detzoo(
        "predict", mask_rcnn, scenes / "val", scenes / "train" / "0002.png",
        "--out", "drawn", "--json", "found.json", "--batch-size", 2, *FAST,
    )  # fmt: skip
    assert outcome.code == 0, outcome
    names = [file.name for file in sorted(Path("drawn").iterdir())]
    assert names == ["0001.jpg", "0002-2.jpg", "0002.jpg", "0003.jpg", "0004.jpg"]
    original = cv2.imread(str(scenes / "val" / "0001.png"))
    drawn = cv2.imread("drawn/0001.jpg")
    assert drawn.shape == original.shape
    assert np.abs(drawn.astype(int) - original).mean() > 5
    found = json.loads(Path("found.json").read_text())
    assert [Path(entry["image"]).name for entry in found] == [
        "0001.png", "0002.png", "0003.png", "0004.png", "0002.png",
    ]  # fmt: skip
    detections = [detection for entry in found for detection in entry["detections"]]
    assert detections
    assert {detection["class"] for detection in detections} <= set(CLASSES)
    assert all("mask" in detection for detection in detections)


def test_default_folder_is_a_new_one(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    for number in (1, 2):
        assert detzoo("predict", retinanet, scenes / "val" / "0001.png", *FAST).code == 0
        assert Path(f"runs/predict-{number}/0001.jpg").is_file()


def test_tiles(detzoo: Run, mask_rcnn: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "large.png"), noise)
    outcome = detzoo("predict", mask_rcnn, "large.png", "--tile", 64, "--json", "a.json", *FAST)
    assert outcome.code == 0, outcome
    (entry,) = json.loads(Path("a.json").read_text())
    assert (entry["height"], entry["width"]) == (100, 150)
    assert max(detection["box"][2] for detection in entry["detections"]) > 64


def test_video(detzoo: Run, mask_rcnn: Path) -> None:
    writer = cv2.VideoWriter("film.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(3):
        writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    outcome = detzoo("predict", mask_rcnn, "film.avi", "--out", "o", "--json", "f.json", *FAST)
    assert outcome.code == 0, outcome
    (entry,) = json.loads(Path("f.json").read_text())
    assert entry["video"] == "film.avi"
    assert (entry["height"], entry["width"]) == (48, 64)
    assert entry["frames_per_second"] == 10
    assert len(entry["frames"]) == 3
    assert all(entry["frames"])
    capture = cv2.VideoCapture("o/film.mp4")
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    capture.release()


def test_a_video_that_is_none(detzoo: Run, retinanet: Path) -> None:
    Path("film.mp4").write_bytes(b"no film")
    assert_refused(detzoo("predict", retinanet, "film.mp4", "--out", "o", *FAST), "film.mp4")


def test_inputs_are_never_written_over(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    Path("photos").mkdir()
    picture = Path("photos/a.jpg")
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    before = picture.read_bytes()
    outcome = detzoo("predict", retinanet, "photos", "--out", "photos", *FAST)
    assert_refused(outcome, "--out photos", "a.jpg")
    assert picture.read_bytes() == before


def test_bad_input_leaves_nothing_behind(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    good = scenes / "val" / "0001.png"
    base = ("predict", retinanet)
    assert_refused(detzoo(*base, good, "nowhere.jpg", "--out", "o", *FAST), "nowhere.jpg")
    assert_refused(detzoo(*base, "none/*.jpg", "--out", "o", *FAST), "none/*.jpg")
    assert_refused(detzoo("predict", "none.pt", good, "--out", "o", *FAST), "none.pt")
    assert_refused(detzoo(*base, good, "--out", "o", "--device", "cuda:63"), "cuda:63")
    assert not Path("o").exists()


def test_a_picture_that_cannot_be_read(detzoo: Run, retinanet: Path) -> None:
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a picture")
    assert_refused(detzoo("predict", retinanet, "broken.jpg", "--out", "o", *FAST), "broken.jpg")


def test_a_folder_that_cannot_be_made(detzoo: Run, retinanet: Path, scenes: Path) -> None:
    Path("file").touch()
    outcome = detzoo("predict", retinanet, scenes / "val", "--out", "file/o", *FAST)
    assert_refused(outcome, "--out file/o")
