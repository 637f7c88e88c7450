from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from detzoo.checkpoints.checkpoint import Checkpoint, save
from detzoo.inference.video import VideoWriter
from detzoo.quickstart.scenes import CLASSES
from tests.cli.conftest import FIT, Run, assert_refused
from tests.tiny import tiny_retinanet
from tests.weights.server import refuse, running, serve

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


def write_film(path: str, count: int = 3) -> None:
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(count):
        writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()


def num_frames(path: str) -> int:
    capture = cv2.VideoCapture(path)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count


def test_video(detzoo: Run, mask_rcnn: Path) -> None:
    write_film("film.avi")
    outcome = detzoo(
        *("predict", mask_rcnn, "film.avi", "--out", "o", "--json", "f.json", "--save", "csv"),
        *("--batch-size", 2, *FAST),
    )
    assert outcome.code == 0, outcome
    assert "film.avi  3 frames" in outcome.out
    (entry,) = json.loads(Path("f.json").read_text())
    assert entry["video"] == "film.avi"
    assert (entry["height"], entry["width"]) == (48, 64)
    assert entry["frames_per_second"] == 10
    assert entry["seconds"] == [0, 0.1, 0.2]
    assert len(entry["frames"]) == 3
    assert all(entry["frames"])
    lines = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert [line["detections"] for line in lines] == entry["frames"]
    rows = Path("o/detections.csv").read_text().splitlines()
    assert rows[1].startswith("film.avi#0,")
    assert rows[-1].startswith("film.avi#2,")
    assert num_frames("o/film.mp4") == 3


def test_some_frames_of_a_video(detzoo: Run, retinanet: Path) -> None:
    write_film("film.avi", 8)
    outcome = detzoo(
        "predict", retinanet, "film.avi", "--out", "o", "--json", "f.jsonl", "--every", 3, *FAST
    )
    assert outcome.code == 0, outcome
    lines = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["seconds"]) for line in lines] == [(0, 0), (3, 0.3), (6, 0.6)]
    assert num_frames("o/film.mp4") == 3


def test_tracking(detzoo: Run, mask_rcnn: Path) -> None:
    pytest.importorskip("trackers")
    write_film("film.avi", 4)
    outcome = detzoo(
        *("predict", mask_rcnn, "film.avi", "--out", "o", "--json", "f.json", "--track"),
        *("--max-detections", 2, *FAST),
    )
    assert outcome.code == 0, outcome
    (entry,) = json.loads(Path("f.json").read_text())
    tracks = [[found["track"] for found in frame] for frame in entry["frames"]]
    assert tracks[0] == [None, None]
    assert any(number is not None for number in tracks[-1])
    assert "tracked" in outcome.out


def test_tracking_needs_a_video_and_a_package(
    detzoo: Run, retinanet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(Path("a.png"))
    write_film("film.avi", 1)
    assert_refused(detzoo("predict", retinanet, "a.png", "--track", *FAST), "no video")
    monkeypatch.setitem(sys.modules, "trackers", None)
    outcome = detzoo("predict", retinanet, "film.avi", "--out", "o", "--track", *FAST)
    assert_refused(outcome, "pip install --no-deps trackers")
    assert not Path("o").exists()


def test_what_is_found_is_hidden(detzoo: Run, mask_rcnn: Path) -> None:
    picture = photo(Path("a.png"))
    drawn, hidden = (
        detzoo("predict", mask_rcnn, "a.png", "--out", out, *more, *FAST)
        for out, more in (("drawn", ()), ("hidden", ("--blur",)))
    )
    assert drawn.out.replace("drawn", "hidden") == hidden.out
    original = cv2.imread(str(picture)).astype(float)
    blurred = cv2.imread("hidden/a.jpg").astype(float)
    # Noise has lost its contrast, and nothing is drawn.
    assert blurred.std() < 0.6 * original.std()
    assert (cv2.imread("drawn/a.jpg") != blurred).any()


def test_a_stream(detzoo: Run, retinanet: Path) -> None:
    """Pictures that a server sends one after the other (MJPEG), until it ends."""
    data = photo(Path("a.png")).read_bytes()
    jpeg = cv2.imencode(".jpg", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[1]

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for _ in range(4):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                self.wfile.write(f"{head}\r\n\r\n".encode() + jpeg.tobytes() + b"\r\n")

        def log_message(self, format: str, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/door"
        outcome = detzoo("predict", retinanet, address, "--out", "o", "--json", "f.json", *FAST)
        server.shutdown()
    assert outcome.code == 0, outcome
    (entry,) = json.loads(Path("f.json").read_text())
    assert entry["video"] == address
    assert len(entry["frames"]) >= 3
    assert entry["seconds"] == sorted(entry["seconds"])
    assert num_frames("o/door.mp4") == len(entry["frames"])


def test_images_on_the_web(
    detzoo: Run, mask_rcnn: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are named by their addresses, also beside files of the same name."""
    content = (scenes / "val" / "0001.png").read_bytes()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("DETZOO_MIRRORS", raising=False)
    with running() as server:
        server.behaviours = [lambda handler: serve(handler, content)] * 2 + [refuse(404)]
        street, other = f"{server.address}/0001.png?x=1", f"{server.address}/b/a%2F..%2Fb.png"
        gone = f"{server.address}/gone.png"
        outcome = detzoo(
            "predict", mask_rcnn, scenes / "val" / "0001.png", street, other, gone,
            "--out", "o", "--json", "f.json", "--save", "csv", *FAST,
        )  # fmt: skip
    assert outcome.code == 1, outcome
    assert f"left out: {gone}: cannot be downloaded (HTTP 404 Not Found)" in outcome.error
    first, second, third = json.loads(Path("f.json").read_text())
    assert (second["image"], third["image"]) == (street, other)
    assert first["detections"] != []
    assert first["detections"] == second["detections"] == third["detections"]
    names = {path.name for path in Path("o").iterdir()}
    assert names == {"0001.jpg", "0001-2.jpg", "a-2F-2Fb.jpg", "detections.csv"}
    assert street in Path("o/detections.csv").read_text()


def test_streams_that_are_not_there(detzoo: Run, retinanet: Path) -> None:
    base = ("predict", retinanet, "--out", "o", *FAST)
    assert_refused(detzoo(*base, "99"), "99: no frame can be read. Is the camera connected")
    outcome = detzoo(*base, "http://127.0.0.1:9/a.jpg?x=1")
    assert_refused(outcome, "a.jpg?x=1: cannot be downloaded (", "Check the address")
    assert not Path("o").exists()


def test_control_c_ends_a_stream(
    detzoo: Run, retinanet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera ends with it; of a file what is done stays, and the command ends, too."""
    write_film("film.avi", 5)
    write = VideoWriter.write
    times: list[float] = []

    def interrupted(writer: VideoWriter, image: np.ndarray, seconds: float) -> None:
        times.append(seconds)
        if len(times) == 3:
            raise KeyboardInterrupt
        write(writer, image, seconds)

    monkeypatch.setattr(VideoWriter, "write", interrupted)
    base = ("predict", retinanet, "film.avi", "--out", "o", "--json", "f.json", *FAST)
    outcome = detzoo(*base)
    assert outcome.code == 130 or "Aborted" in outcome.error
    assert len(Path("f.jsonl").read_text().splitlines()) == 2
    assert num_frames("o/film.mp4") == 2

    times.clear()
    monkeypatch.setattr("detzoo.inference.video.is_live", lambda source: True)
    outcome = detzoo(*base)
    assert outcome.code == 0, outcome
    assert "film.avi  2 frames" in outcome.out
    (entry,) = json.loads(Path("f.json").read_text())
    assert len(entry["frames"]) == 2


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


@pytest.mark.slow
@pytest.mark.ci
def test_processes_share_the_work(detzoo: Run, mask_rcnn: Path, scenes: Path) -> None:
    """What two processes find and write is what one does."""
    write_film("film.avi", 3)
    photo(Path("in/broken.png")).write_bytes(b"no picture")
    words = ("predict", mask_rcnn, scenes / "val", "in", "film.avi")
    options = ("--json", "f.json", "--save", "csv,coco,yolo", *FAST)
    assert detzoo(*words, "--out", "one", *options).code == 1
    one = json.loads(Path("f.json").read_text())
    lines = sorted(Path("f.jsonl").read_text().splitlines())
    command = (sys.executable, "-m", "detzoo", *words, "--out", "two", *options, "--devices", 2)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [str(word) for word in command],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "left out: in/broken.png" in done.stderr
    assert "1 of 6 inputs were left out" in done.stderr
    assert json.loads(Path("f.json").read_text()) == one
    assert sorted(Path("f.jsonl").read_text().splitlines()) == lines
    tables = [Path(out, "detections.csv").read_text().splitlines() for out in ("one", "two")]
    assert sorted(tables[0]) == sorted(tables[1])
    coco = [json.loads(Path(out, "coco.json").read_text()) for out in ("one", "two")]
    images, objects = coco[1]["images"], coco[1]["annotations"]
    assert [image["id"] for image in images] == list(range(1, len(images) + 1))
    assert [found["id"] for found in objects] == list(range(1, len(objects) + 1))
    boxes = []
    for content in coco:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        boxes.append(sorted((names[o["image_id"]], o["bbox"]) for o in content["annotations"]))
    assert boxes[0] == boxes[1]
    files = [
        sorted(path.relative_to(out) for path in Path(out).rglob("*")) for out in ("one", "two")
    ]
    assert files[0] == files[1]
    assert sorted(path.name for path in Path.cwd().iterdir()) == [
        "f.json", "f.jsonl", "film.avi", "in", "one", "two",
    ]  # fmt: skip
