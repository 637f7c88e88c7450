from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.quickstart.scenes import CLASSES
from tests.cli.conftest import FIT, Run, assert_refused
from tests.tiny import tiny_retinanet

NOT_UTF8 = os.fsdecode("\u6d4b\u8bd5".encode("gbk"))  # as in old Chinese archives
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


def test_a_video_whose_name_opencv_cannot_take(detzoo: Run, retinanet: Path) -> None:
    Path(f"{NOT_UTF8}.mp4").touch()
    outcome = detzoo("predict", retinanet, f"{NOT_UTF8}.mp4", "--out", "o", *FAST)
    assert_refused(outcome, "not UTF-8. Rename it.")


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


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


def test_one_broken_picture_does_not_lose_the_others(detzoo: Run, retinanet: Path) -> None:
    photo(Path("in/a.png"))
    Path("in/b.png").write_bytes(photo(Path("in/c.png")).read_bytes()[:900])
    outcome = detzoo("predict", retinanet, "in", "--out", "o", "--json", "f.json", *FAST)
    assert outcome.code == 1
    assert "left out: in/b.png: cannot be decoded" in outcome.error
    assert "1 of 3 inputs were left out" in outcome.error
    found = json.loads(Path("f.json").read_text())
    assert [entry["image"] for entry in found] == ["in/a.png", "in/c.png"]
    lines = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    assert lines == found
    assert sorted(file.name for file in Path("o").iterdir()) == ["a.jpg", "c.jpg"]


def test_results_are_there_as_soon_as_they_are_found(
    detzoo: Run, retinanet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or anything else that ends the work, does not lose what came before."""
    for name in "abc":
        photo(Path(f"in/{name}.png"))
    write = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        if path.name == "c.jpg":
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    outcome = detzoo("predict", retinanet, "in", "--out", "o", "--json", "f.json", *FAST)
    assert_refused(outcome, "c.jpg: cannot be written (No space left on device)")
    lines = Path("f.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["in/a.png", "in/b.png"]


def test_lines_that_cannot_be_written(detzoo: Run, retinanet: Path) -> None:
    photo(Path("a.png"))
    Path("f.jsonl").mkdir()
    outcome = detzoo("predict", retinanet, "a.png", "--out", "o", "--json", "f.json", *FAST)
    assert_refused(outcome, "f.jsonl: cannot be written (Is a directory)")


NAMES = ["[edited].png", "a[/x].png", ":car:.png", f"{NOT_UTF8}.png"]


def test_names_of_all_kinds(detzoo: Run, retinanet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        photo(Path("in[") / name.replace("/", "\u2215"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    outcome = detzoo("predict", retinanet, "in[", "--out", "o", "--json", "f.json", *FAST)
    assert outcome.code == 0, outcome
    found = json.loads(Path("f.json").read_text())
    assert sorted(Path(entry["image"]).name for entry in found) == sorted(
        name.replace("/", "\u2215") for name in NAMES
    )
    stems = sorted(Path(name.replace("/", "\u2215")).stem for name in NAMES)
    assert sorted(file.stem for file in Path("o").iterdir()) == stems
    sys.stdout.flush()
    printed = sys.stdout.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "in[/[edited].png" in printed
    assert "in[/:car:.png" in printed
    assert r"in[/a[\u2215x].png" in printed


def test_class_names_are_printed_as_they_are(detzoo: Run, tmp_path: Path) -> None:
    experiment = tiny_retinanet(("light [red]", "[/dog]"), FIT)
    weights = experiment.build_model().state_dict()
    weights["bbox_head.retina_cls.bias"].fill_(2.0)  # sees both everywhere
    checkpoint = tmp_path / "x.pt"
    save(checkpoint, Checkpoint(experiment, weights))
    photo(Path("a.png"))
    outcome = detzoo("predict", checkpoint, "a.png", "--out", "o", *FAST)
    assert outcome.code == 0, outcome
    assert "light [red]" in outcome.out
    assert "[/dog]" in outcome.out


def test_a_folder_says_what_it_leaves_out(detzoo: Run, retinanet: Path) -> None:
    for name in ("a.png", "b.jfif", "c.ppm", "deep/d.png"):
        photo(Path("in") / name)
    for name in ("x.heic", "film.mp4", ".hidden"):
        Path("in", name).touch()
    outcome = detzoo("predict", retinanet, "in", "--out", "o", *FAST)
    assert outcome.code == 0, outcome
    assert (
        "in: left out 1 sub-folder, 1 video, 1 of types that OpenCV does not read (.heic)"
        in outcome.out
    )
    assert sorted(file.name for file in Path("o").iterdir()) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("predict", "{checkpoint}", "in", "--json", "nodir/x.json"),
            "--json nodir/x.json: there is no",
        ),
        (
            ("test", "{checkpoint}", "--data", "in", "--json", "nodir/x"),
            "--json nodir/x: there is no",
        ),
        (("test", "{checkpoint}", "--data", "in", "--save-detections", "in"), "in: is a folder"),
        (("evaluate", "a.json", "b.json", "--json", "nodir/x"), "--json nodir/x: there is no"),
        (("predict", "{checkpoint}", "nowhere.jpg"), "nowhere.jpg: no such image"),
        (("predict", "none.pt", "in"), "none.pt: no such file"),
        (("test", "none.pt", "--data", "in"), "none.pt: no such file"),
        (("test", "{checkpoint}", "--data", "nowhere"), "nowhere: no such file or folder"),
        (("train", "retinanet_r50_fpn_1x_coco", "--data", "nowhere"), "nowhere: no such file"),
        *(
            ((*command, "retinanet_r50_fpn_1x_koko", *more), "names are retinanet_r50_fpn_1x_coco")
            for command, more in (
                (("train",), ("--data", "in")),
                (("test",), ("--data", "in")),
                (("predict",), ("in",)),
                (("benchmark", "training"), ("--data", "in")),
            )
        ),
        (("checkpoint", "none.pt"), "none.pt: no such file"),
        (("import-mmdet", "none.py"), "none.py: no such file"),
    ],
)
def test_wrong_paths_are_refused_before_anything_heavy(
    retinanet: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    photo(tmp_path / "in" / "a.png")
    words = [word.format(checkpoint=retinanet) for word in arguments]
    program = (
        f"import sys; sys.argv = ['detzoo', *{words!r}]\n"
        "from detzoo.cli.main import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == "False\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
